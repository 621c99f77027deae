import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseUrl } from '../src/parse-url.ts';

const source = fileURLToPath(new URL('../src', import.meta.url));

describe('parseUrl', () => {
  it('accepts a Latin-1 host after the parser has been optimized', () => {
    // Node 20 optimizes URL.canParse within 5 000 calls.
    for (let call = 0; call < 50_000; call++) {
      if (parseUrl('https://b\u00fccher.example/v1')?.hostname !== 'xn--bcher-kva.example') {
        expect.unreachable(`call ${call} is refused`);
      }
    }
  });

  it('returns undefined for a text that is no URL', () => {
    expect(parseUrl('llm.example')).toBeUndefined();
    expect(parseUrl('https://')).toBeUndefined();
  });

  it('is what src/ uses instead of URL.canParse', () => {
    const users = readdirSync(source, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && file !== 'parse-url.ts')
      .filter((file) => readFileSync(join(source, file), 'utf8').includes('canParse'));
    expect(users).toEqual([]);
  });
});

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as door from 'team-model-router';
import { expect, it } from 'vitest';

it('exports these names and no other', () => {
  expect(Object.keys(door).sort()).toEqual([
    'RouterError',
    'TeamModelRouter',
    'callChannelName',
    'copyStorage',
    'errorCodes',
    'generateEncryptionKey',
    'isRouterError',
    'memoryStorage',
    'teamBaseUrl',
  ]);
});

it('pulls in its own dependencies, and no driver and no framework', () => {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const open = [fileURLToPath(new URL('../src/index.ts', import.meta.url))];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (seen.has(file)) continue;
    seen.add(file);
    for (const [, specifier = ''] of readFileSync(file, 'utf8').matchAll(
      /(?:\bfrom\s|import\()\s*'([^']+)'/g,
    )) {
      if (specifier.startsWith('.')) open.push(resolve(file, '..', specifier));
      else if (!specifier.startsWith('node:')) packages.add(specifier.split('/')[0] ?? '');
    }
  }
  expect(seen.size).toBeGreaterThan(30);
  expect([...packages].sort()).toEqual(['lru-cache', 'openai', 'undici', 'zod']);
});

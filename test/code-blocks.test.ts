import { execFileSync } from 'node:child_process';
import { describe, expect, it, vi } from 'vitest';
import {
  entryProgram,
  fencedBlocks,
  pagesOfDocs,
  problemsOf,
  publicExports,
  read,
} from './support/code-blocks.ts';

// A compilation takes 10 s, and longer next to other tests.
vi.setConfig({ testTimeout: 300_000 });

const program = entryProgram();
const exported = publicExports(program);
const blocks = [
  ...['SECURITY.md', 'CONTRIBUTING.md'].flatMap((file) => fencedBlocks(file, read(file))),
  ...pagesOfDocs().flatMap((page) => fencedBlocks(`docs/${page}`, read(`docs/${page}`))),
];
const examples = exported.flatMap(({ name, specifier, examples }) =>
  examples.flatMap((text) => fencedBlocks(`@example of ${name} (${specifier})`, `${text}\n`)),
);

describe('Blocks of the documentation', () => {
  it('are found', () => {
    expect(blocks.length).toBeGreaterThan(20);
    expect(new Set(blocks.map(({ language }) => language))).toEqual(
      new Set(['ts', 'js', 'sh', 'json', 'nginx', 'text']),
    );
  });

  it('are TypeScript, except for the script that another test runs', () => {
    const scripts = blocks.filter(({ language }) => language === 'js').map(({ name }) => name);
    expect(scripts).toEqual([expect.stringMatching(/^docs\/guides\/encryption-keys\.md /)]);
  });

  it('type-check, and so do the examples of docstrings', () => {
    const typed = [...blocks, ...examples].filter(({ language }) => language === 'ts');
    expect(problemsOf(typed, exported, program)).toEqual([]);
  });

  it('finds a block that does not type-check', () => {
    const block = {
      name: 'wrong',
      language: 'ts',
      text: "await router.addModel('acme', { model: 'openai/gpt-4o' });",
    };
    expect(problemsOf([block], exported, program)[0]).toMatch(/^wrong: .*'model' does not exist/);
  });

  it('have the syntax of a shell, also the bodies of curl', () => {
    const shell = blocks.filter(({ language }) => language === 'sh');
    for (const { name, text } of shell) {
      execFileSync('bash', ['-n'], { input: text });
      for (const [, body = ''] of text.matchAll(/-d '([^']*)'/g))
        expect(() => JSON.parse(body), `${name}: ${body}`).not.toThrow();
    }
  });

  it('are JSON where they say so', () => {
    for (const { name, text } of blocks.filter(({ language }) => language === 'json'))
      expect(() => JSON.parse(text), name).not.toThrow();
  });
});

describe('Public exports', () => {
  it.each(exported.map(({ name, specifier, ...rest }) => [`${specifier} ${name}`, rest] as const))(
    '%s has a docstring and an example',
    (_name, { comment, examples }) => {
      expect(comment).not.toBe('');
      expect(examples.length).toBeGreaterThan(0);
      for (const text of examples) expect(text).toMatch(/```ts\n/);
    },
  );
});

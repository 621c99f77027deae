import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { packageEntries } from '../package-entries.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'src');
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => ({ file, text: readFileSync(join(source, file), 'utf8') }));

/** The levels of src/, from the entries down: a folder or file imports only from levels below its own. */
const levels = [
  ['cli'],
  ['index.ts', 'testing.ts', 'http'],
  ['router.ts'],
  ['router-management.ts'],
  ['services.ts'],
  ['options.ts'],
  ['client'],
  ['sessions'],
  ['is-router-error.ts'],
  ['calls'],
  ['metering'],
  ['teams'],
  ['memory-budget.ts', 'open-work.ts', 'providers', 'egress', 'secrets', 'storage'],
  ['schemas', 'logger.ts', 'lru-cache.ts', 'tick-batch.ts'],
  ['errors.ts', 'did-you-mean.ts', 'parse-url.ts'],
  ['redact'],
];

/** The levels of calls/, by the stages of a call. */
const callLevels = [
  ['dispatcher.ts'],
  ['attempts'],
  ['call-context.ts'],
  ['response'],
  ['routing'],
  ['affinity'],
  ['read-request.ts'],
  ['upstream'],
  ['call.ts'],
  ['body'],
  ['form'],
  ['json'],
  ['receipt'],
  ['endpoints'],
  ['abort'],
  ['answer.ts'],
];

function importsOf(file: string, text: string): string[] {
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(
    (match) => match[1] ?? '',
  );
  return specifiers.map((specifier) => relative(source, resolve(source, file, '..', specifier)));
}

const imports = new Map(files.map(({ file, text }) => [file, importsOf(file, text)]));

/** Returns "a imports b" for each import below `folder` that does not go down a level. */
function upward(folder: string, order: string[][]): string[] {
  const entryOf = (file: string) => file.slice(folder.length).split('/')[0] ?? '';
  const levelOf = (file: string) => order.findIndex((level) => level.includes(entryOf(file)));
  const found: string[] = [];
  for (const [file, targets] of imports) {
    if (!file.startsWith(folder)) continue;
    expect(levelOf(file), `a new entry: ${file}`).toBeGreaterThanOrEqual(0);
    for (const target of targets) {
      if (!target.startsWith(folder) || entryOf(target) === entryOf(file)) continue;
      if (levelOf(target) <= levelOf(file)) found.push(`${file} imports ${target}`);
    }
  }
  return found;
}

/** Returns the files that import each other in a circle, types included. */
function cycles(): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const visit = (file: string, path: string[]) => {
    const start = path.indexOf(file);
    if (start >= 0) found.push(path.slice(start));
    if (done.has(file) || start >= 0) return;
    for (const target of imports.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const { file } of files) visit(file, []);
  return found;
}

/** Returns whether `from` imports `to`, directly or through files that the walk does not name. */
function reachedFrom(
  from: string,
  to: string,
  named: ReadonlySet<string>,
  seen = new Set<string>(),
): boolean {
  for (const target of imports.get(from) ?? []) {
    if (target === to) return true;
    if (seen.has(target) || named.has(target)) continue;
    seen.add(target);
    if (reachedFrom(target, to, named, seen)) return true;
  }
  return false;
}

/** Without the lines that are comments, and the imports of types. */
const withoutComments = (text: string) => text.replace(/^\s*(\/?\*|\/\/).*$|^import type .*$/gm, '');

describe('the layout of src/', () => {
  it('imports point down', () => {
    expect(upward('', levels)).toEqual([]);
  });

  it('imports within calls/ point down', () => {
    expect(upward('calls/', callLevels)).toEqual([]);
  });

  it('no files import each other in a circle', () => {
    expect(cycles()).toEqual([]);
  });

  it('a folder has at most 16 entries', () => {
    const entries = new Map<string, Set<string>>();
    for (const { file } of files) {
      const path = file.split('/');
      for (let depth = 1; depth < path.length; depth++) {
        const folder = path.slice(0, depth).join('/');
        entries.set(folder, (entries.get(folder) ?? new Set()).add(path[depth] ?? ''));
      }
    }
    expect([...entries].filter(([, names]) => names.size > 16).map(([folder]) => folder)).toEqual([]);
  });

  it('calls never import the record store', () => {
    for (const [file, targets] of imports)
      if (file.startsWith('calls/')) expect(targets, file).not.toContain('teams/records/record-store.ts');
  });

  it('only the command prints', () => {
    const prints = /\bconsole\b|process\.(stdout|stderr|emitWarning)|\bdebugger\b/;
    for (const { file, text } of files) {
      if (file.startsWith('cli/')) continue;
      expect(prints.test(withoutComments(text)), file).toBe(false);
    }
  });

  it('no file is over 300 lines, and half of them have at most 100', () => {
    const lengths = files.map(({ file, text }) => ({ file, lines: text.trimEnd().split('\n').length }));
    expect(lengths.filter(({ lines }) => lines > 300)).toEqual([]);
    const sorted = lengths.map(({ lines }) => lines).sort((a, b) => a - b);
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThanOrEqual(100);
  });
});

describe('docs/internals/architecture.md', () => {
  const page = readFileSync(join(root, 'docs/internals/architecture.md'), 'utf8');
  const walks = page
    .split(/^## /m)
    .slice(1)
    .map((section) => ({
      title: section.split('\n', 1)[0] ?? '',
      walk: [...section.matchAll(/^\d+\. `([^`]+)`/gm)].map((match) => match[1] ?? ''),
    }));

  it.each(walks)('walks "$title" along imports', ({ walk }) => {
    expect(walk.length).toBeGreaterThanOrEqual(10);
    for (const [at, file] of walk.entries()) {
      expect(imports.has(file), file).toBe(true);
      const above = walk.slice(0, at);
      const reached = above.some((other) => reachedFrom(other, file, new Set(walk)));
      expect(at === 0 || reached, `${file} is not imported by a file above it`).toBe(true);
    }
  });

  it('enters each folder of calls/ once', () => {
    const folders = walks[0]?.walk.map((file) => /^calls\/([a-z]+)\//.exec(file)?.[1]);
    const entered = folders?.filter((folder, at) => folder !== undefined && folder !== folders[at - 1]) ?? [];
    expect(entered).toEqual([...new Set(entered)]);
    expect(entered.length).toBeGreaterThan(5);
  });

  it('names files that exist, and each folder of calls/', () => {
    for (const [, file = ''] of page.matchAll(/`((?:[a-z-]+\/)+[a-z-]+\.ts)`/g))
      if (!file.startsWith('test/')) expect(imports.has(file), file).toBe(true);
    const folders = [...imports.keys()].filter((file) => /^calls\/[a-z]+\//.test(file));
    for (const folder of new Set(folders.map((file) => file.split('/')[1])))
      expect(page).toContain(`${folder}/`);
  });
});

describe('the package entries', () => {
  const read = (name: string) => JSON.parse(readFileSync(join(root, name), 'utf8'));

  it('are the exports of package.json', () => {
    const { './package.json': own, ...exports } = read('package.json').exports;
    expect(own).toBe('./package.json');
    const built = Object.entries(packageEntries).map(([subpath, { output }]) => [
      subpath,
      {
        import: { types: `./dist/${output}.d.ts`, default: `./dist/${output}.js` },
        require: { types: `./dist/${output}.d.cts`, default: `./dist/${output}.cjs` },
      },
    ]);
    expect(exports).toEqual(Object.fromEntries(built));
  });

  it('are the paths of tsconfig.json', () => {
    const paths = Object.entries(packageEntries).map(([subpath, { source: file }]) => [
      `team-model-router${subpath.slice(1)}`,
      [`./${file}`],
    ]);
    expect(read('tsconfig.json').compilerOptions.paths).toEqual(Object.fromEntries(paths));
  });
});

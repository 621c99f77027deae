import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { projects } from './projects.ts';

const folder = fileURLToPath(new URL('.', import.meta.url));
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.test.ts') && !file.startsWith('long/'),
);

function projectsOf(file: string): string[] {
  const name = file.replace(/\.test\.ts$/, '');
  const names = Object.entries(projects)
    .filter(([, entries]) =>
      entries.some((entry) => (entry.endsWith('/') ? name.startsWith(entry) : name === entry)),
    )
    .map(([project]) => project);
  return names.length === 0 ? ['http'] : names;
}

/** Returns what a file imports from outside of src/, by way of other files of the tests and examples too. */
function importsOf(file: string, seen = new Set<string>()): Set<string> {
  const found = new Set<string>();
  if (seen.has(file)) return found;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, name = ''] of text.matchAll(/^(?:import|export)\b(?! type)[^;]*?'([^']+)'/gms)) {
    const path = join(dirname(file), name);
    if (!name.startsWith('.')) found.add(name);
    else if (/\/src\/(?!http\/adapters\/|cli\/serve)/.test(path)) continue;
    else if (path.includes('/src/')) found.add(relative(join(folder, '..'), path));
    else if (existsSync(path) && path.endsWith('.ts'))
      for (const inner of importsOf(path, seen)) found.add(inner);
  }
  if (/\binject\('/.test(text)) found.add('the storage servers');
  return found;
}

const childProcesses = /^node:(child_process|cluster|worker_threads)$/;
const listeners =
  /^node:(http|https|http2|net|tls|dgram)$|^(src|team-model-router)\/http\/(adapters|node|express|fastify)|^src\/cli\/serve|aimock$|^@hono\/node-server$|^fastify$|^express$/;

function offenders(project: string, forbidden: RegExp[]): string[] {
  return files
    .filter((file) => projectsOf(file).includes(project))
    .flatMap((file) => {
      const wrong = [...importsOf(join(folder, file))].filter((name) =>
        forbidden.some((rule) => rule.test(name)),
      );
      return wrong.map((name) => `${file}: ${name}`);
    });
}

describe('the projects of the tests', () => {
  it('have each file once, and name no file that does not exist', () => {
    expect(files.filter((file) => projectsOf(file).length > 1)).toEqual([]);
    const missing = Object.values(projects)
      .flat()
      .filter(
        (entry) => !files.some((file) => file.startsWith(entry.endsWith('/') ? entry : `${entry}.test.ts`)),
      );
    expect(missing).toEqual([]);
  });

  it('unit imports nothing that listens or starts a process', () => {
    expect(offenders('unit', [childProcesses, listeners, /^the storage servers$/])).toEqual([]);
  });

  it('http starts no process and needs no storage server', () => {
    expect(offenders('http', [childProcesses, /^the storage servers$/])).toEqual([]);
  });

  it('process needs no storage server', () => {
    expect(offenders('process', [/^the storage servers$/])).toEqual([]);
  });

  it('would find a listener by way of another file', () => {
    expect(importsOf(join(folder, 'tenancy.test.ts'))).toContain('node:http');
    expect(importsOf(join(folder, 'calls/affinity.test.ts'))).toContain('the storage servers');
  });
});

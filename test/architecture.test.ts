import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const source = fileURLToPath(new URL('../src', import.meta.url));
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => ({ file, text: readFileSync(join(source, file), 'utf8') }));

/** What each room may import; the files that stand outside of a room are rooms of their own. */
const below: Record<string, readonly string[]> = {
  'index.ts': [
    'router.ts',
    'log.ts',
    'calls',
    'secrets',
    'storage',
    'teams',
    'errors.ts',
    'options.ts',
    'schemas.ts',
    'is-router-error.ts',
  ],
  'router.ts': ['router-management.ts', 'compose.ts', 'calls', 'teams', 'options.ts', 'schemas.ts'],
  'router-management.ts': ['compose.ts', 'calls', 'teams', 'schemas.ts'],
  'compose.ts': ['calls', 'teams', 'secrets', 'egress', 'storage', 'options.ts', 'schemas.ts', 'log.ts'],
  http: [
    'router.ts',
    'calls',
    'teams',
    'schemas.ts',
    'schemas',
    'validation.ts',
    'log.ts',
    'turn.ts',
    'errors.ts',
  ],
  cli: ['http', 'index.ts', 'storage', 'did-you-mean.ts', 'errors.ts'],
  'options.ts': ['calls', 'egress', 'secrets', 'storage', 'validation.ts', 'log.ts'],
  'is-router-error.ts': ['errors.ts'],
  calls: [
    'teams',
    'providers',
    'egress',
    'storage',
    'schemas',
    'validation.ts',
    'log.ts',
    'redact',
    'turn.ts',
    'errors.ts',
  ],
  teams: [
    'secrets',
    'providers',
    'egress',
    'storage',
    'redact',
    'turn.ts',
    'errors.ts',
    'schemas.ts',
    'schemas',
    'validation.ts',
    'values.ts',
  ],
  secrets: ['errors.ts'],
  providers: ['errors.ts', 'did-you-mean.ts'],
  egress: ['turn.ts', 'errors.ts'],
  storage: ['errors.ts'],
  'schemas.ts': ['schemas', 'values.ts'],
  schemas: ['values.ts'],
  'validation.ts': ['did-you-mean.ts', 'errors.ts', 'issue-words.ts'],
  'did-you-mean.ts': [],
  'issue-words.ts': [],
  'values.ts': [],
  'turn.ts': [],
  'log.ts': ['redact', 'errors.ts'],
  'errors.ts': ['redact'],
  redact: ['values.ts'],
};

const roomOf = (file: string) => file.split('/')[0] ?? file;

function importsOf(file: string, text: string): string[] {
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(
    (match) => match[1] ?? '',
  );
  return specifiers.map((specifier) => relative(source, resolve(source, file, '..', specifier)));
}

/** Without the lines that are comments, and the imports of types. */
const withoutComments = (text: string) => text.replace(/^\s*(\/?\*|\/\/).*$|^import type .*$/gm, '');

describe('the house', () => {
  it.each(files.map(({ file, text }) => [file, text] as const))(
    '%s imports only what is below it',
    (file, text) => {
      const room = roomOf(file);
      const allowed = below[room];
      expect(allowed, `a new room: ${room}`).toBeDefined();
      for (const imported of importsOf(file, text)) {
        const target = roomOf(imported);
        expect([room, ...(allowed ?? [])], `${file} imports ${imported}`).toContain(target);
      }
    },
  );

  it('calls never reach the registry', () => {
    for (const { file, text } of files.filter(({ file }) => file.startsWith('calls/'))) {
      expect(importsOf(file, text), file).not.toContain('teams/registry.ts');
    }
  });

  it('nothing but the command prints', () => {
    const prints = /\bconsole\b|process\.(stdout|stderr|emitWarning)|\bdebugger\b/;
    for (const { file, text } of files) {
      if (file.startsWith('cli/')) continue;
      expect(prints.test(withoutComments(text)), file).toBe(false);
    }
  });

  it('no file is over 300 lines', () => {
    for (const { file, text } of files) expect(text.split('\n').length, file).toBeLessThanOrEqual(301);
  });
});

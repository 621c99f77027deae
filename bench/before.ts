/** Scripts of this folder, built over an older commit's sources, so that one run compares both. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

export interface Before {
  /** The built file of a script. */
  script(name: string): string;
  /** Removes the older sources. */
  remove(): void;
}

/**
 * Checks the commit out beside the repository and builds the scripts there.
 *
 * @param names of scripts that import the package by its name; they and what they import are copied over the older ones
 */
export function buildBefore(
  commit: string,
  names: readonly string[],
  imported: readonly string[] = [],
): Before {
  const folder = mkdtempSync(join(tmpdir(), 'team-model-router-before-'));
  const git = (...words: string[]) => execFileSync('git', words, { cwd: root, stdio: 'ignore' });
  git('worktree', 'add', '--detach', folder, commit);
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const name of [...names, ...imported]) {
    const file = `bench/${name}.ts`;
    copyFileSync(join(root, file), join(folder, file));
  }
  const output = ['--no-config', '--format', 'esm', '--out-dir', '.bench', '--silent'];
  execFileSync('npx', ['tsup', ...names.map((name) => `bench/${name}.ts`), ...output], { cwd: folder });
  return {
    script: (name) => join(folder, '.bench', `${name}.js`),
    remove: () => git('worktree', 'remove', '--force', folder),
  };
}

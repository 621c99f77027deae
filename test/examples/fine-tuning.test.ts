import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

it("a team's examples become a model that it calls by its own name", async () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const child = promisify(execFile)(process.execPath, ['--import', 'tsx', 'examples/fine-tuning.ts'], {
    cwd: root,
  });
  expect((await child).stdout).toBe(
    'Trained ft:gpt-4o-mini:aimock:acme:...\nsupport says: Have you tried turning it off and on again?\nsupport is that model.\n',
  );
});

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

it('the quickstart says that all of it is as printed', async () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const env = { ...process.env };
  delete env.OPENAI_API_KEY;
  const child = promisify(execFile)(process.execPath, ['--import', 'tsx', 'examples/quickstart.ts'], {
    cwd: root,
    env,
  });
  expect((await child).stdout).toMatch(/All of it is as printed\.\n$/);
});

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { postgresUrl, redisUrl } from '../support/connections.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

for (const [name, url] of [
  ['redis', redisUrl],
  ['postgres', postgresUrl],
] as const) {
  it.skipIf(url === undefined)(
    `examples/${name}.ts: what changes at one node counts at the other`,
    async () => {
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ['--import', 'tsx', `examples/${name}.ts`],
        {
          cwd: root,
          env: { ...process.env, REDIS_URL: url, DATABASE_URL: url },
        },
      );
      expect(stdout).toBe(
        "added at the first node, called at the second: Acme's model\nremoved at the first node, gone at the second\n",
      );
    },
  );
}

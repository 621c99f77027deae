import { chmodSync } from 'node:fs';
import { dirname } from 'node:path';
import pg from 'pg';
import { generateEncryptionKey, TeamModelRouter } from 'team-model-router';
import { postgresStorage } from 'team-model-router/storage/postgres';
import { expect, it } from 'vitest';
import { hasPostgres, startPostgres } from '../support/postgres-server.ts';
import { eventually } from '../support/server-process.ts';
import { switchingProxy } from '../support/switching-proxy.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const newPath = temporaryFolder();

it.skipIf(!hasPostgres())(
  'a pool whose server became read-only connects to its replacement',
  async () => {
    // PostgreSQL runs as a user of its own when the tests run as root.
    const folder = newPath('before');
    chmodSync(dirname(folder), 0o755);
    const [before, after] = await Promise.all([
      startPostgres(folder, ['fsync=off']),
      startPostgres(newPath('after'), ['fsync=off']),
    ]);
    const proxy = await switchingProxy(before.port);
    const url = `postgres://postgres@127.0.0.1:${proxy.port}/postgres`;
    const pool = new pg.Pool({ connectionString: url, connectionTimeoutMillis: 5_000 });
    const router = new TeamModelRouter({
      storage: postgresStorage(pool),
      encryptionKeys: [generateEncryptionKey()],
    });
    // Many connections, each of which stays where it is.
    const names = Array.from({ length: 10 }, (_, index) => `team-${index}`);
    await Promise.all(names.map((team_id) => router.createTeam({ team_id })));
    const operator = new pg.Pool({ connectionString: before.url });
    await operator.query('ALTER SYSTEM SET default_transaction_read_only = on');
    await operator.query('SELECT pg_reload_conf()');
    // The server takes its new settings in its own time.
    await eventually(async () => {
      await expect(router.createTeam({})).rejects.toMatchObject({
        code: 'storage_unavailable',
        message: 'PostgreSQL is read-only (25006).',
      });
    });
    proxy.switchTo(after.port);
    let attempts = 0;
    await eventually(async () => {
      attempts += 1;
      await router.createTeam({ team_id: 'written' });
    });
    // Each failure takes one connection out of the pool.
    expect(attempts).toBeLessThanOrEqual(10);
    await router.close();
    // A server that stops may still reach a connection that is being closed.
    for (const each of [pool, operator]) each.on('error', () => {});
    await Promise.all([pool.end(), operator.end()]);
    await proxy.close();
    await Promise.all([before.stop(), after.stop()]);
  },
  60_000,
);

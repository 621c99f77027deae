import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateEncryptionKey, type Storage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { postgresStorage } from 'team-model-router/storage/postgres';
import { redisStorage } from 'team-model-router/storage/redis';
import { sqliteStorage } from 'team-model-router/storage/sqlite';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { closeConnections, newRoom, postgresPool, postgresUrl, redisClient } from '../support/connections.ts';
import { hasRedis, startRedis } from '../support/redis-server.ts';
import { eventually, type TestServer } from '../support/server-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

closeConnections();

const newPath = temporaryFolder();
const masterKey = 'master-key-of-the-tests-0123456789';

/**
 * Fails every change with the reason, answers reads, is not ready while writes are refused, and is again once they are taken.
 *
 * @param secrets what no answer may show
 */
async function expectRefusals(
  storage: Storage,
  { reason, refuse, take }: { reason: string; refuse: () => unknown; take: () => unknown },
  secrets: readonly string[],
): Promise<void> {
  const router = new TeamModelRouter({ storage, encryptionKeys: [generateEncryptionKey()] });
  const gateway = createGateway(router, { masterKey });
  await router.addModel('acme', {
    model_name: 'm',
    litellm_params: { model: 'openai/m', api_key: 'sk-0123456789abcdef' },
  });
  const { key } = await router.createKey('acme');
  const send = async (path: string, authorization: string, body?: object) => {
    const response = await gateway.fetch(
      new Request(`http://gateway.test${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { authorization: `Bearer ${authorization}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    );
    const text = await response.text();
    for (const secret of secrets) expect(text).not.toContain(secret);
    return { status: response.status, text };
  };
  await refuse();
  const refused = { status: 503, code: 'storage_unavailable', message: reason };
  await expect(router.createTeam({ team_id: 'globex' })).rejects.toMatchObject(refused);
  await expect(router.updateTeam('acme', { metadata: { changed: true } })).rejects.toMatchObject(refused);
  // A Redis without memory deletes, which frees some.
  if (!reason.includes('OOM')) await expect(router.deleteTeam('acme')).rejects.toMatchObject(refused);
  await expect(router.createKey('acme')).rejects.toMatchObject(refused);
  const added = await send('/model/new', key, {
    model_name: 'n',
    litellm_params: { model: 'openai/n', api_key: 'sk-0123456789abcdef' },
  });
  expect(added.status).toBe(503);
  expect(JSON.parse(added.text)).toMatchObject({ error: { code: 'storage_unavailable', message: reason } });
  expect((await send('/v1/models', key)).status).toBe(200);
  const ready = await send('/health/readiness', masterKey);
  expect(JSON.parse(ready.text)).toMatchObject({ status: 'unhealthy', storage: 'refuses_writes' });
  expect(ready.status).toBe(503);
  await take();
  await eventually(async () => expect((await send('/health/readiness', masterKey)).status).toBe(200));
  await router.updateTeam('acme', { metadata: { changed: true } });
  await router.close();
}

describe.skipIf(!hasRedis())('a Redis that refuses writes', () => {
  let server: TestServer;
  let folder: string;

  beforeAll(async () => {
    folder = newPath('redis');
    mkdirSync(folder);
    server = await startRedis(folder, false);
  });

  afterAll(async () => {
    // It would not end before it has saved, and its folder is gone.
    await command('CONFIG', 'SET', 'save', '');
    await server.stop();
  });

  async function command(...words: string[]): Promise<unknown> {
    return (await redisClient(server.url)).sendCommand(words);
  }

  /** Redis saves in a process of its own, into a folder that is gone. */
  async function failToSave(): Promise<void> {
    await command('CONFIG', 'SET', 'save', '3600 1');
    rmSync(folder, { recursive: true });
    await command('BGSAVE');
    await eventually(async () => {
      expect(String(await command('INFO', 'persistence'))).toContain('rdb_last_bgsave_status:err');
    });
  }

  it.each([
    [
      'Redis is a read-only replica (READONLY).',
      () => command('REPLICAOF', '127.0.0.1', '1'),
      () => command('REPLICAOF', 'NO', 'ONE'),
    ],
    [
      'Redis is out of memory (OOM).',
      () => command('CONFIG', 'SET', 'maxmemory', '1'),
      () => command('CONFIG', 'SET', 'maxmemory', '0'),
    ],
    [
      'Redis has fewer replicas than it needs to take writes (NOREPLICAS).',
      () => command('CONFIG', 'SET', 'min-replicas-to-write', '1'),
      () => command('CONFIG', 'SET', 'min-replicas-to-write', '0'),
    ],
    [
      'Redis cannot save its data to disk (MISCONF).',
      failToSave,
      () => command('CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'no'),
    ],
  ])('says: %s', async (reason, refuse, take) => {
    const storage = redisStorage(await redisClient(server.url), { prefix: `{${newRoom()}}:` });
    await expectRefusals(storage, { reason, refuse, take }, [String(server.port), folder, 'dump.rdb']);
  });

  it.each([
    ['NOREPLICAS', 'min-replicas-to-write', '1', '0'],
    ['OOM', 'maxmemory', '1', '0'],
  ])(
    '%s: not ready from the first failed change, and logs a recovery only after a write',
    async (code, name, refusing, taking) => {
      vi.useFakeTimers({ toFake: ['performance'] });
      try {
        const storage = redisStorage(await redisClient(server.url), { prefix: `{${newRoom()}}:` });
        const logged: unknown[] = [];
        const note = (_fields: unknown, message: unknown) => logged.push(message);
        const logger = { debug: () => {}, info: note, warn: note, error: note };
        const router = new TeamModelRouter({ storage, encryptionKeys: [generateEncryptionKey()], logger });
        await router.createTeam({ team_id: 'acme' });
        await router.checkStorage({ writes: true });
        await command('CONFIG', 'SET', name, refusing);
        const refused = { code: 'storage_unavailable', message: expect.stringContaining(`(${code})`) };
        await expect(router.updateTeam('acme', { metadata: { a: 1 } })).rejects.toMatchObject(refused);
        // From the second check on the row of the probe is found where none was expected, which is a conflict without a write.
        for (let count = 0; count < 3; count++) {
          await expect(router.checkStorage({ writes: true })).rejects.toMatchObject(refused);
          vi.advanceTimersByTime(1_000);
        }
        // Lines are handed to the logger in a later turn of the event loop.
        await new Promise(setImmediate);
        expect(logged).toEqual(['storage write failed']);
        await command('CONFIG', 'SET', name, taking);
        await router.checkStorage({ writes: true });
        await new Promise(setImmediate);
        expect(logged).toEqual(['storage write failed', 'storage writes recovered']);
        await router.close();
      } finally {
        vi.useRealTimers();
      }
    },
  );

  it('says that it is a cluster that is down', async () => {
    const clustered = newPath('cluster');
    mkdirSync(clustered);
    const cluster = await startRedis(clustered, false, ['--cluster-enabled', 'yes']);
    const storage = redisStorage(await redisClient(cluster.url));
    const router = new TeamModelRouter({ storage, encryptionKeys: [generateEncryptionKey()] });
    await expect(router.createTeam({ team_id: 'acme' })).rejects.toMatchObject({
      code: 'storage_unavailable',
      message: 'Redis is a cluster that is down (CLUSTERDOWN).',
    });
    await router.close();
    await cluster.stop();
  });

  it('of version 6, which words the failure of a script in another way, is understood', async () => {
    const words =
      "ERR Error running script (call to f_0123): @user_script:6: @user_script: 6: -READONLY You can't write against a read only replica. ";
    const storage = redisStorage({
      sendCommand: async () => Promise.reject(new Error(words)),
      on: () => undefined,
      off: () => undefined,
      duplicate: () => {
        throw new Error('Not asked for.');
      },
    });
    await expect(storage.put('k', 'v', null)).rejects.toThrow('Redis is a read-only replica (READONLY).');
  });
});

describe.skipIf(postgresUrl === undefined)('a PostgreSQL that refuses writes', () => {
  it.each([
    ['25006', 'is read-only'],
    ['53100', 'has no space left on its disk'],
    ['53200', 'is out of memory'],
    ['57P01', 'is shutting down'],
    ['58030', 'cannot read or write its disk'],
  ])('with %s says that it %s', async (state, meaning) => {
    const pool = postgresPool();
    const table = newRoom();
    const refuse = () =>
      pool.query(`
        CREATE FUNCTION ${table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
          BEGIN RAISE EXCEPTION 'secret words of the server at 10.0.0.1' USING ERRCODE = '${state}'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON ${table}
          FOR EACH ROW EXECUTE FUNCTION ${table}_refuse();`);
    const take = () => pool.query(`DROP TRIGGER refuse ON ${table}`);
    const reason = `PostgreSQL ${meaning} (${state}).`;
    const storage = postgresStorage(pool, { table });
    await expectRefusals(storage, { reason, refuse, take }, ['secret words', '10.0.0.1', table]);
  });
});

/** Whether this process may mount a file system of its own, which it can fill. */
function mounted(folder: string): boolean {
  mkdirSync(folder);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

it('SQLite on a full disk says so, and writes again when there is space', async ({ skip }) => {
  const folder = newPath('disk');
  if (!mounted(folder)) skip('only where file systems may be mounted');
  try {
    const filler = join(folder, 'filler');
    const fill = () => {
      for (const size of [65_536, 4_096, 512]) {
        try {
          for (;;) writeFileSync(filler, Buffer.alloc(size), { flag: 'a' });
        } catch {
          // It is full but for less than this.
        }
      }
    };
    await expectRefusals(
      sqliteStorage(join(folder, 'models.sqlite')),
      {
        reason: 'The SQLite file cannot grow because the disk is full (SQLITE_FULL).',
        refuse: fill,
        take: () => rmSync(filler),
      },
      [folder, 'models.sqlite'],
    );
  } finally {
    execFileSync('umount', [folder]);
  }
});

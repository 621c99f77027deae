import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { generateEncryptionKey } from 'team-model-router';
import { afterEach, describe, expect, it } from 'vitest';
import { placeOf } from '../../src/cli/open-storage.ts';
import { postgresUrl, redisUrl } from '../support/connections.ts';
import { type ServeProcess, startCommand } from '../support/serve-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const newPath = temporaryFolder();
const masterKey = 'm'.repeat(40);
const { id, key } = generateEncryptionKey();
const keys = { TMR_MASTER_KEY: masterKey, TMR_ENCRYPTION_KEYS: `${id}:${key}` };
const running: ServeProcess[] = [];

function serve(more: string[], environment: Record<string, string> = keys): ServeProcess {
  const started = startCommand(['serve', '--port', '0', '--data', newPath('data'), ...more], environment);
  running.push(started);
  return started;
}

afterEach(async () => {
  for (const started of running.splice(0)) {
    started.child.kill('SIGKILL');
    await started.ended;
  }
});

const post = (url: string, path: string, body: unknown) =>
  fetch(url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${masterKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

describe.each([
  ['redis', redisUrl],
  ['postgres', postgresUrl],
])('team-model-router serve --storage %s', (_, storage = '') => {
  it.skipIf(storage === '')(
    'what one gateway has stored, another knows; and they end in good order',
    async () => {
      const first = serve(['--storage', storage]);
      const second = serve([], { ...keys, TMR_STORAGE: storage });
      const urls = await Promise.all([first.listening, second.listening]);
      const team = { team_id: `team-of-${newPath()}` };
      expect((await post(urls[0] ?? '', '/team/new', team)).status).toBe(200);
      expect((await post(urls[1] ?? '', '/team/new', team)).status).toBe(409);
      for (const started of [first, second]) {
        started.child.kill('SIGTERM');
        expect(await started.ended, started.output()).toBe(0);
      }
    },
  );
});

describe('team-model-router serve --storage', () => {
  it.skipIf(redisUrl === undefined)(
    'makes no data folder if its keys and its storage are elsewhere',
    async () => {
      const data = newPath('data');
      const started = startCommand(
        ['serve', '--port', '0', '--data', data, '--storage', redisUrl ?? ''],
        keys,
      );
      running.push(started);
      await started.listening;
      started.child.kill('SIGTERM');
      expect(await started.ended).toBe(0);
      expect(existsSync(data)).toBe(false);
    },
  );

  it('makes the data folder if it makes a key', async () => {
    const data = join(newPath('parent'), 'data');
    const file = newPath();
    const started = startCommand(['serve', '--port', '0', '--data', data, '--storage', `sqlite:${file}`], {
      TMR_MASTER_KEY: masterKey,
    });
    running.push(started);
    await started.listening;
    expect(readdirSync(data)).toEqual(['encryption-keys']);
    expect(statSync(data).mode & 0o777).toBe(0o700);
  });

  it.each([
    ['redis://127.0.0.1:1', 'redis://127.0.0.1:1: Redis refuses the connection (ECONNREFUSED).'],
    [
      'postgres://127.0.0.1:1/db',
      'postgres://127.0.0.1:1/db: PostgreSQL refuses the connection (ECONNREFUSED).',
    ],
    [
      'sqlite:/no/such/folder/m.sqlite',
      '/no/such/folder/m.sqlite: The SQLite file cannot be created because its directory does not exist (ENOENT).',
    ],
    ['sqlite:/', '/: The SQLite file is a directory (EISDIR).'],
  ])('%s cannot be opened: it ends with that line alone', async (url, line) => {
    const started = serve(['--storage', url]);
    expect(await started.ended).toBe(1);
    expect(started.output()).toBe(`${line}\n`);
  });

  it.skipIf(process.platform !== 'linux')(
    'a data folder that cannot be made ends it with one line',
    async () => {
      const started = startCommand(['serve', '--port', '0', '--data', '/proc/team-models'], keys);
      running.push(started);
      expect(await started.ended).toBe(1);
      expect(started.output()).toBe(
        '/proc/team-models cannot be created. Choose another folder with --data. (ENOENT)\n',
      );
    },
  );

  it('requires keys that all gateways share, and creates no keys', async () => {
    const started = serve(['--storage', 'redis://127.0.0.1:1'], {});
    expect(await started.ended).toBe(1);
    expect(started.output()).toContain('TMR_ENCRYPTION_KEYS and TMR_MASTER_KEY');
  });

  it.each(['redis://:secret-word@127.0.0.1:1', 'postgres://user:secret-word@127.0.0.1:1/db'])(
    '%s cannot be reached: it ends and says so, without the password',
    async (url) => {
      const started = serve(['--storage', url]);
      expect(await started.ended).toBe(1);
      expect(started.output()).toMatch(/Redis|PostgreSQL|storage/);
      expect(started.output()).not.toContain('secret-word');
    },
  );

  it.each(['mysql://127.0.0.1/db', 'redis', 'postgres:/x'])('%s is refused', (url) => {
    expect(() => placeOf(url, 'data')).toThrow('--storage: must be sqlite:FILE');
  });

  it.each([
    [undefined, 'data/models.sqlite'],
    ['sqlite:/srv/models.sqlite', '/srv/models.sqlite'],
    ['sqlite:///srv/models.sqlite', '/srv/models.sqlite'],
    ['rediss://user:secret@cache:6380/2', 'rediss://cache:6380/2'],
    ['postgresql://user:secret@db/models?sslmode=require', 'postgresql://db/models'],
  ])('%s is shown as %s', (url, name) => {
    expect(placeOf(url, 'data').name).toBe(name);
  });
});

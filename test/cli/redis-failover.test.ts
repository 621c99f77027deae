import { mkdirSync } from 'node:fs';
import { generateEncryptionKey } from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeConnections, redisClient } from '../support/connections.ts';
import { hasRedis, startRedis } from '../support/redis-server.ts';
import { type ServeProcess, startCommand } from '../support/serve-process.ts';
import { eventually, type TestServer } from '../support/server-process.ts';
import { type SwitchingProxy, switchingProxy } from '../support/switching-proxy.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

closeConnections();

const newPath = temporaryFolder();
const masterKey = 'm'.repeat(40);

describe.skipIf(!hasRedis())('serve in front of a primary and a replica behind one address', () => {
  let primary: TestServer;
  let replica: TestServer;
  let proxy: SwitchingProxy;
  let started: ServeProcess;
  let url: string;

  beforeEach(async () => {
    const folder = newPath('redis');
    mkdirSync(folder);
    const quick = ['--repl-diskless-sync-delay', '0'];
    primary = await startRedis(folder, false, quick);
    replica = await startRedis(folder, false, quick);
    await follow(replica, primary);
    proxy = await switchingProxy(primary.port);
    const { id, key } = generateEncryptionKey();
    const environment = {
      TMR_MASTER_KEY: masterKey,
      TMR_ENCRYPTION_KEYS: `${id}:${key}`,
      TMR_STORAGE: `redis://127.0.0.1:${proxy.port}`,
    };
    started = startCommand(['serve', '--port', '0', '--data', newPath('data')], environment);
    url = await started.listening;
  });

  afterEach(async () => {
    started.child.kill('SIGKILL');
    await started.ended;
    await proxy.close();
    await Promise.all([primary.stop(), replica.stop()]);
  });

  async function command(server: TestServer, ...words: string[]): Promise<unknown> {
    return (await redisClient(server.url)).sendCommand(words);
  }

  async function follow(server: TestServer, other: TestServer): Promise<void> {
    await command(server, 'REPLICAOF', '127.0.0.1', String(other.port));
    await eventually(async () => {
      if (!String(await command(server, 'INFO', 'replication')).includes('master_link_status:up'))
        throw new Error('The replica is not connected.');
    });
  }

  const newTeam = (team_id: string) =>
    fetch(`${url}/team/new`, {
      method: 'POST',
      headers: { authorization: `Bearer ${masterKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ team_id }),
    });
  const ready = () => fetch(`${url}/health/readiness`);

  it('stayed on the demoted primary until it was restarted: it writes to the new one', async () => {
    expect((await ready()).status).toBe(200);
    expect((await newTeam('acme')).status).toBe(200);
    await eventually(async () => {
      if ((await command(replica, 'DBSIZE')) !== (await command(primary, 'DBSIZE')))
        throw new Error('The replica is behind.');
    });
    await command(replica, 'REPLICAOF', 'NO', 'ONE');
    proxy.switchTo(replica.port);
    await follow(primary, replica);
    const demotedAt = performance.now();
    await eventually(async () => {
      const { status } = await newTeam('globex');
      // 409: the attempt before had written it.
      if (status !== 200 && status !== 409) throw new Error(`It was answered ${status}.`);
    });
    expect(performance.now() - demotedAt).toBeLessThan(10_000);
    expect(await command(replica, 'EXISTS', '{team-model-router}:row:team/globex')).toBe(1);
    expect((await ready()).status).toBe(200);
  });

  it('was ready while every write failed: it is not, until writes are taken again', async () => {
    expect((await ready()).status).toBe(200);
    await command(replica, 'REPLICAOF', 'NO', 'ONE');
    await follow(primary, replica);
    const refused = await newTeam('acme');
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({
      error: { code: 'storage_unavailable', message: 'Redis is a read-only replica (READONLY).' },
    });
    await eventually(async () => {
      const response = await ready();
      expect(response.status).toBe(503);
      expect(await response.json()).toMatchObject({ status: 'unhealthy', storage: 'refuses_writes' });
    });
    expect((await fetch(`${url}/health/liveness`)).status).toBe(200);
    proxy.switchTo(replica.port);
    await eventually(async () => expect((await ready()).status).toBe(200));
    expect((await newTeam('acme')).status).toBe(200);
  });
});

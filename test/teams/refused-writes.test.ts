import { generateEncryptionKey, memoryStorage, type Storage, TeamModelRouter } from 'team-model-router';
import { postgresStorage } from 'team-model-router/storage/postgres';
import { describe, expect, it } from 'vitest';
import { RouterError } from '../../src/errors.ts';
import { closeConnections, newRoom, postgresPool, postgresUrl } from '../support/connections.ts';

closeConnections();

describe('a storage that reads and refuses to write', () => {
  it('was told as conflict after 3 s: it is storage_unavailable after a few tries', async () => {
    let puts = 0;
    const inner = memoryStorage();
    const storage: Storage = {
      ...inner,
      async put() {
        puts += 1;
        throw new RouterError('storage_unavailable', 'Redis is a read-only replica (READONLY).');
      },
    };
    const router = new TeamModelRouter({ storage, encryptionKeys: [generateEncryptionKey()] });
    await expect(router.createTeam({ team_id: 'acme' })).rejects.toMatchObject({
      code: 'storage_unavailable',
      message: expect.stringContaining('READONLY'),
    });
    expect(puts).toBe(3);
    await router.close();
  });

  it.skipIf(postgresUrl === undefined)('is reported immediately by a read-only PostgreSQL', async () => {
    const database = newRoom();
    await postgresPool().query(`CREATE DATABASE ${database}`);
    const url = new URL(`/${database}`, postgresUrl).href;
    const writable = new TeamModelRouter({
      storage: postgresStorage(postgresPool(url)),
      encryptionKeys: [generateEncryptionKey('k')],
    });
    await writable.createTeam({ team_id: 'acme' });
    await postgresPool().query(`ALTER DATABASE ${database} SET default_transaction_read_only = on`);
    const router = new TeamModelRouter({
      storage: postgresStorage(postgresPool(url)),
      encryptionKeys: [generateEncryptionKey('k')],
    });
    expect((await router.getTeamInfo('acme')).team_id).toBe('acme');
    const changes = [
      () => router.updateTeam('acme', { metadata: { changed: true } }),
      () => router.createTeam({ team_id: 'globex' }),
      () => router.deleteTeam('acme'),
    ];
    for (const change of changes)
      await expect(change()).rejects.toMatchObject({ code: 'storage_unavailable' });
    await writable.close();
    await router.close();
  });
});

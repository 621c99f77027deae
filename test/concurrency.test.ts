import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { sqliteStorage } from 'team-model-router/storage/sqlite';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from './support/temporary-folder.ts';
import { startWriter } from './support/writer-process.ts';

const body = {
  model_name: 'my-team-model',
  litellm_params: { model: 'gpt-4o', api_key: 'sk-0123456789abcdef' },
};

describe('concurrent writers', () => {
  const newPath = temporaryFolder();

  it.each(['memory', 'sqlite'])(
    '1 000 concurrent writes in one process lose nothing, on %s',
    async (kind) => {
      const storage = kind === 'memory' ? memoryStorage() : sqliteStorage(newPath());
      const router = new TeamModelRouter({ storage, encryptionKeys: [generateEncryptionKey()] });
      const added = await Promise.all(Array.from({ length: 1000 }, () => router.addModel('acme', body)));
      const { data } = await router.listModels('acme');
      expect(data.map(({ model_info }) => model_info.id).sort()).toEqual(
        added.map(({ model_id }) => model_id).sort(),
      );
      expect(new Set(data.map(({ model_info }) => model_info.id)).size).toBe(1000);
      const { team_info } = await router.getTeamInfo('acme');
      expect(Object.keys(team_info.litellm_model_table.model_aliases)).toEqual(['my-team-model']);
      await expect(router.addModel('acme', body)).rejects.toMatchObject({ code: 'invalid_request' });
      await router.close();
    },
  );

  it('2 processes x 200 on one file lose nothing, though they conflict', async () => {
    const file = newPath();
    const encryptionKey = generateEncryptionKey('k');
    const writers = [0, 1].map(() => startWriter(file, encryptionKey.key, 'acme', 'add', 200));
    await Promise.all(writers.map(({ ready }) => ready));
    for (const writer of writers) writer.start();
    await Promise.all(writers.map(({ exited }) => exited));

    const conflicts = writers.reduce((sum, writer) => sum + writer.conflicts, 0);
    console.log(`2 processes x 200 addModel on one SQLite file: ${conflicts} conflicts`);
    expect(conflicts).toBeGreaterThan(0);
    const acknowledged = writers.flatMap(({ added }) => [...added]);
    expect(new Set(acknowledged).size).toBe(400);
    const router = new TeamModelRouter({ storage: sqliteStorage(file), encryptionKeys: [encryptionKey] });
    const { data } = await router.listModels('acme');
    expect(data.map(({ model_info }) => model_info.id).sort()).toEqual(acknowledged.sort());
    await router.close();
  });
});

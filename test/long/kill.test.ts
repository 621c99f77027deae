import { generateEncryptionKey, TeamModelRouter } from 'team-model-router';
import { sqliteStorage } from 'team-model-router/storage/sqlite';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { startWriter } from '../support/writer-process.ts';

const killsInside = 20;
const maxRounds = 120;

describe('kill -9 inside a write', () => {
  const newPath = temporaryFolder();

  it.each(['add', 'delete'] as const)(
    '%s: what was acknowledged is there, and nothing is half done',
    async (mode) => {
      const encryptionKey = generateEncryptionKey('k');
      const file = newPath();
      let inside = 0;
      for (let round = 0; inside < killsInside; round++) {
        expect(round, `only ${inside} kills landed inside a write`).toBeLessThan(maxRounds);
        const team = `team-${round}`;
        const writer = startWriter(file, encryptionKey.key, team, mode, 1000);
        // The file holds what earlier rounds left: the writer's own first read shows that it opens.
        await writer.ready;
        const writes = 3 + (round % 7);
        let seen = 0;
        writer.onMessage((message) => {
          if ('writing' in message && message.writing && ++seen === writes) writer.child.kill('SIGKILL');
        });
        writer.start();
        await writer.exited;
        if (writer.writing) inside++;

        const router = new TeamModelRouter({ storage: sqliteStorage(file), encryptionKeys: [encryptionKey] });
        const { data } = await router.listModels(team);
        const stored = new Set(data.map(({ model_info }) => model_info.id));
        const surely = [...writer.added].filter((id) => !writer.deleted.has(id));
        // One write may have been under way: it happened, or it did not, and it concerns one model.
        const missing = surely.filter((id) => !stored.has(id));
        const extra = [...stored].filter((id) => !surely.includes(id));
        expect(missing.length).toBeLessThanOrEqual(mode === 'delete' ? 1 : 0);
        expect(extra.length + missing.length).toBeLessThanOrEqual(1);
        expect(extra.filter((id) => writer.deleted.has(id))).toEqual([]);
        for (const { model_info, litellm_params } of data) {
          // Its secret opens, its pointer leads to it: nothing of it is half there.
          expect(model_info.needs_reentry).toBeUndefined();
          expect(litellm_params).toMatchObject({ model: 'gpt-4o', api_key: 'sk-...cdef' });
          expect(await router.findModelTeam(model_info.id)).toEqual({ team_id: team });
        }
        if (stored.size > 0) {
          const { model_aliases } = (await router.getTeamInfo(team)).team_info.litellm_model_table;
          expect(Object.keys(model_aliases)).toEqual(['my-team-model']);
        }
        await router.close();
      }
      console.log(`${mode}: ${inside} kills landed inside a write`);
      expect(inside).toBeGreaterThanOrEqual(killsInside);
    },
  );
});

import { LLMock } from '@copilotkit/aimock';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

type Start = (
  router: TeamModelRouter,
  teamOf: (cookie: string | undefined) => string | undefined,
) => Promise<{ url: string; close: () => Promise<void> }>;

const teams = new Map([
  ['session=a', 'acme'],
  ['session=b', 'globex'],
]);
const keys = { acme: 'azure-key-of-acme-0123456789', globex: 'azure-key-of-globex-0123456789' };

/** What an application built on the router does for its users, over a real socket. */
export function describeApplication(name: string, start: Start): void {
  describe(name, () => {
    const azure = {
      acme: new LLMock({ host: '127.0.0.1', port: 0, auth: { apiKeys: [keys.acme] } }),
      globex: new LLMock({ host: '127.0.0.1', port: 0, auth: { apiKeys: [keys.globex] } }),
    };
    let router: TeamModelRouter;
    let app: Awaited<ReturnType<Start>>;
    const bases = { acme: '', globex: '' };

    beforeAll(async () => {
      for (const team of ['acme', 'globex'] as const) {
        azure[team].onMessage(/refuse/, {
          error: {
            message: 'That is against the rules.',
            type: 'invalid_request_error',
            code: 'content_filter',
          },
          status: 400,
        });
        azure[team].onMessage(/./, { content: `the answer of ${team}` });
        bases[team] = await azure[team].start();
      }
      router = new TeamModelRouter({
        storage: memoryStorage(),
        encryptionKeys: [generateEncryptionKey()],
        egress: { allow: Object.values(bases) },
      });
      app = await start(router, (cookie) => teams.get(cookie ?? ''));
    });
    afterAll(async () => {
      await app.close();
      await router.close();
      await azure.acme.stop();
      await azure.globex.stop();
    });

    const send = (method: string, path: string, cookie: string, body: object) =>
      fetch(app.url + path, {
        method,
        headers: { 'content-type': 'application/json', ...(cookie === '' ? {} : { cookie }) },
        body: JSON.stringify(body),
      });
    const save = (cookie: string, team: 'acme' | 'globex', api_key: string) =>
      send('PUT', '/settings/azure', cookie, { deployment: 'gpt-4o-eu', api_base: bases[team], api_key });
    const ask = (cookie: string, question = 'Who are you?') => send('POST', '/chat', cookie, { question });

    it('turns away whoever is not logged in', async () => {
      expect((await ask('')).status).toBe(401);
    });

    it('says that a team has no model yet', async () => {
      const response = await ask('session=a');
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ code: 'model_not_found' });
    });

    it('tests a key before it saves it', async () => {
      const response = await save('session=a', 'acme', 'not-the-key-0123456789');
      expect(response.status).toBe(422);
      expect(await response.json()).toEqual({ saved: false, status: 'key_rejected' });
      expect((await ask('session=a')).status).toBe(404);
    });

    it("streams each team's own answer", async () => {
      for (const [cookie, team] of teams as Map<string, 'acme' | 'globex'>) {
        const saved = await save(cookie, team, keys[team]);
        const text = await saved.text();
        expect(saved.status, text).toBe(200);
        expect(text).not.toContain(keys[team]);
      }
      for (const [cookie, team] of teams) {
        const response = await ask(cookie);
        expect(response.status).toBe(200);
        expect(await response.text()).toBe(`the answer of ${team}`);
      }
    });

    it("hands a provider's refusal on", async () => {
      const response = await ask('session=a', 'Please refuse this');
      expect(response.status).toBe(400);
      const body = await response.json();
      expect(body).toEqual({
        error: expect.stringContaining('against the rules'),
        code: 'content_filter',
      });
    });

    it('replaces what was saved', async () => {
      expect((await save('session=a', 'acme', keys.acme)).status).toBe(200);
      expect((await router.listModels('acme')).data).toHaveLength(1);
    });

    it('leaves one model when a form is saved several times at the same time', async () => {
      for (const { model_info } of (await router.listModels('globex')).data) {
        await router.deleteModel('globex', model_info.id);
      }
      const saves = await Promise.all(
        Array.from({ length: 8 }, () => save('session=b', 'globex', keys.globex)),
      );
      expect(saves.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
      expect((await router.listModels('globex')).data).toHaveLength(1);
      expect(await (await ask('session=b')).text()).toBe('the answer of globex');
    });

    it.each([
      ['POST', '/chat', '{"question":'],
      ['POST', '/chat', '{}'],
      ['POST', '/chat', undefined],
      ['PUT', '/settings/azure', '{}'],
      ['PUT', '/settings/azure', undefined],
    ])('answers %s %s with the body %s by 400, in JSON and without a stack', async (method, path, body) => {
      const response = await fetch(app.url + path, {
        method,
        headers: { cookie: 'session=a', ...(body && { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body }),
      });
      const text = await response.text();
      expect(response.status, text).toBe(400);
      expect(JSON.parse(text)).toMatchObject({ error: expect.any(String) });
      expect(text).not.toMatch(/\n {4}at |node_modules/);
    });

    it('names the field that is wrong', async () => {
      const response = await send('PUT', '/settings/azure', 'session=a', { deployment: 'x', api_base: 7 });
      expect(response.status).toBe(400);
      expect(await response.text()).toContain('litellm_params.api_base');
    });
  });
}

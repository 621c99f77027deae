import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const masterKey = `sk-${'m'.repeat(43)}`;
const keyTypes = ['default', 'llm_api', 'management', 'read_only'] as const;
const infoPaths = [
  '/team/info',
  '/key/info',
  '/model/info',
  '/v1/model/info',
  '/v2/model/info',
  '/v1/models',
];

let router: TeamModelRouter;
let gateway: Gateway;
let other: { key: string; token: string };

beforeEach(async () => {
  router = new TeamModelRouter({ storage: memoryStorage(), encryptionKeys: [generateEncryptionKey()] });
  gateway = createGateway(router, { masterKey });
  const litellm_params = { model: 'gpt-4o', api_key: 'sk-0123456789abcdef' };
  await router.createTeam({ team_id: 'acme', models: ['shared-secret-name'] });
  for (const model_name of ['allowed', 'hidden-name', 'hidden-fallback'])
    await router.addModel('acme', { model_name, litellm_params });
  await router.updateTeam('acme', {
    settings: { fallbacks: [{ allowed: ['hidden-fallback'] }, { 'hidden-name': ['allowed'] }] },
  });
  other = await router.createKey('acme', { key_alias: 'other-alias', metadata: { note: 'other-note' } });
});
afterEach(() => router.close({ drainTimeoutMs: 0 }));

const get = async (key: string, path: string) => {
  const response = await gateway.request(path, { headers: { authorization: `Bearer ${key}` } });
  return { status: response.status, text: await response.text() };
};

describe.each(keyTypes)('a key of type %s that may call one model', (key_type) => {
  it.each(infoPaths)('sees on %s that model and itself alone', async (path) => {
    const { key } = await router.createKey('acme', { key_type, models: ['allowed'] });
    const { status, text } = await get(key, path);
    expect([200, 403]).toContain(status);
    for (const hidden of ['hidden-', 'shared-secret-name', 'other-alias', 'other-note', other.token])
      expect(text).not.toContain(hidden);
    if (status === 200 && path !== '/key/info') expect(text).toContain('allowed');
  });

  it('sees no other key', async () => {
    const { key } = await router.createKey('acme', { key_type, models: ['allowed'] });
    const unknown = await get(key, `/key/info?key=${'0'.repeat(64)}`);
    for (const named of [other.token, other.key])
      expect(await get(key, `/key/info?key=${named}`)).toEqual(unknown);
  });

  it('sees itself in full', async () => {
    const { key, token } = await router.createKey('acme', { key_type, models: ['allowed'] });
    const info = await get(key, '/team/info');
    if (info.status === 403) return expect(key_type).toBe('llm_api');
    const { keys } = JSON.parse(info.text) as { keys: { token: string }[] };
    expect(keys.map((each) => each.token)).toEqual([token]);
    expect((await get(key, '/key/info')).text).toContain(token);
    expect((await get(key, `/key/info?key=${token}`)).text).toContain(token);
  });
});

it('a key without a restriction and the master key see all of the team', async () => {
  const { key } = await router.createKey('acme');
  for (const who of [key, masterKey]) {
    const { text } = await get(who, '/team/info?team_id=acme');
    for (const shown of ['hidden-name', 'hidden-fallback', 'shared-secret-name', other.token])
      expect(text).toContain(shown);
  }
});

it('a session that is restricted sees no key', async () => {
  const sessions = createGateway(router, {
    masterKey,
    authenticate: () => ({ teamId: 'acme', keyType: 'read_only', models: ['allowed'] }),
  });
  const info = await (await sessions.request('/team/info')).json();
  expect(info).toMatchObject({ keys: [] });
  expect((await sessions.request(`/key/info?key=${other.token}`)).status).toBe(404);
});

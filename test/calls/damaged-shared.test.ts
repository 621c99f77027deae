import { generateEncryptionKey, memoryStorage, type Storage, TeamModelRouter } from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findUnreadable } from '../../src/cli/unreadable.ts';
import {
  chatCompletion,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../support/recording-provider.ts';

let provider: RecordingProvider;
let storage: Storage;
let router: TeamModelRouter;

const encryptionKeys = [generateEncryptionKey()];
const routers: TeamModelRouter[] = [];

function open(): TeamModelRouter {
  const egress = { allow: [provider.url], allowShared: [provider.url] };
  const opened = new TeamModelRouter({ storage, encryptionKeys, egress });
  routers.push(opened);
  return opened;
}

beforeEach(async () => {
  provider = await recordingProvider((_, response) => sendJson(response, 200, chatCompletion('x')));
  storage = memoryStorage();
  router = open();
  const litellm_params = { model: 'openai/x', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.createTeam({ team_id: 'acme', models: ['shared'] });
  await router.addModel('acme', { model_name: 'own', litellm_params });
  await router.addSharedModel({ model_name: 'shared', litellm_params });
});

afterEach(async () => {
  for (const opened of routers.splice(0)) await opened.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const call = async (
  teamId: string | null,
  method: 'GET' | 'POST',
  path: string,
  model?: string,
  models?: unknown,
) => {
  const { status, body } = await router.dispatch(
    { teamId, ...(models !== undefined && { models }) } as never,
    {
      method,
      path,
      query: new URLSearchParams(),
      headers: new Headers({ 'content-type': 'application/json' }),
      ...(model !== undefined && { body: JSON.stringify({ model, messages: [] }) }),
    },
  );
  const text = body instanceof Uint8Array ? Buffer.from(body).toString() : '';
  return { status, body: JSON.parse(text) as { error?: { code: string }; data?: { id: string }[] } };
};

describe.each(['{"format":1,broken', '{"format":99}'])('a record of the shared models that is %s', (text) => {
  beforeEach(async () => {
    const { entries } = await storage.list('');
    const [row] = entries.filter(({ key }) => key.includes('shared'));
    const stored = await storage.get(row?.key ?? '');
    if (row === undefined || typeof stored !== 'object') throw new Error('no shared record');
    await storage.put(row.key, text, stored.version);
    // A router that has read nothing yet.
    router = open();
  });

  it("took down a team's own models", async () => {
    const list = await call('acme', 'GET', '/models');
    expect([list.status, list.body.data?.map(({ id }) => id)]).toEqual([200, ['own']]);
    expect((await call('acme', 'POST', '/chat/completions', 'shared')).body.error?.code).toBe(
      'corrupt_record',
    );
    expect((await call('acme', 'POST', '/chat/completions', 'unknown')).body.error?.code).toBe(
      'model_not_found',
    );
    expect((await call('acme', 'POST', '/chat/completions', 'own')).body.error?.code).not.toBe(
      'corrupt_record',
    );
    expect((await call(null, 'POST', '/chat/completions', 'shared')).body.error?.code).toBe('corrupt_record');
  });
});

it.each([['own'], [{}], [[1]], [['own', null]], [7], [true]])(
  'models of a caller that are %j threw a TypeError',
  async (models) => {
    const { status, body } = await call('acme', 'POST', '/chat/completions', 'own', models);
    expect([status, body.error?.code]).toEqual([400, 'invalid_request']);
  },
);

describe('with a damaged record of the shared models', () => {
  beforeEach(async () => {
    const stored = await storage.get('shared');
    if (stored === undefined || stored === 'unchanged') return expect.unreachable();
    await storage.put('shared', '{"format":1,broken', stored.version);
    router = open();
  });

  it("a team may set fallbacks among its own models, and is told why others' names cannot be checked", async () => {
    const litellm_params = { model: 'openai/x', api_key: 'sk-0123456789abcdef', api_base: provider.url };
    await router.addModel('acme', { model_name: 'second', litellm_params });
    const { settings } = await router.updateTeam('acme', { settings: { fallbacks: [{ own: ['second'] }] } });
    expect(settings).toEqual({ fallbacks: [{ own: ['second'] }] });
    await expect(
      router.updateTeam('acme', { settings: { fallbacks: [{ own: ['shared'] }] } }),
    ).rejects.toMatchObject({
      code: 'corrupt_record',
      param: 'settings.fallbacks',
      message: expect.stringContaining(
        '"shared" is no model of this team, and the shared models cannot be read',
      ),
    });
  });

  it('the command reports the record and continues with the teams', async () => {
    expect(await findUnreadable(router)).toEqual({ records: ['shared'] });
    const { id, key } = generateEncryptionKey();
    const other = new TeamModelRouter({ storage, encryptionKeys: [{ id, key }] });
    routers.push(other);
    expect(await findUnreadable(other)).toEqual({
      records: ['shared'],
      secret: { teamId: 'acme', deploymentId: expect.any(String) },
    });
  });
});

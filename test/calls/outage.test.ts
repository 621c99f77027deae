import {
  generateEncryptionKey,
  memoryStorage,
  RouterError,
  type Storage,
  TeamModelRouter,
} from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const maxStalenessMs = 50;

let provider: RecordingProvider;
let broken: boolean;
let router: TeamModelRouter;
let litellm_params: { model: string; api_key: string; api_base: string };

beforeEach(async () => {
  provider = await recordingProvider();
  broken = false;
  const inner = memoryStorage();
  const storage: Storage = {
    ...inner,
    get: async (...read) => {
      if (broken) throw new RouterError('storage_unavailable', 'It is out of reach.');
      return inner.get(...read);
    },
    delete: async (...deletion) => {
      if (broken) throw new RouterError('storage_unavailable', 'It is out of reach.');
      return inner.delete(...deletion);
    },
  };
  router = new TeamModelRouter({
    storage,
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    maxStalenessMs,
  });
  litellm_params = { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', api_base: provider.url };
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const ask = async (model: string) =>
  (await router.chatCompletion('acme', { model, messages: [] }, { maxRetries: 0 })).object;

/** Older than `maxStalenessMs`, so that the next call has to read it again. */
async function stale(): Promise<void> {
  const then = performance.now() + maxStalenessMs;
  while (performance.now() < then) await new Promise(setImmediate);
}

it('serves a known team while the storage is unreachable, before the first read of the shared deployments', async () => {
  await router.addModel('acme', { model_name: 'own', litellm_params });
  // The gateway looks up a key's team before the call does.
  expect(await router.isTeamBlocked('acme')).toBe(false);
  expect(await ask('own')).toBe('chat.completion');
  broken = true;
  await stale();
  expect(await ask('own')).toBe('chat.completion');
  await expect(ask('another')).rejects.toMatchObject({ status: 503, code: 'storage_unavailable' });
  expect(provider.requests).toHaveLength(2);
});

it('so is one that uses shared deployments', async () => {
  await router.addSharedModel({ model_name: 'common', litellm_params });
  await router.addModel('acme', { model_name: 'own', litellm_params });
  await router.updateTeam('acme', { models: ['common'] });
  expect(await ask('common')).toBe('chat.completion');
  broken = true;
  await stale();
  expect(await ask('common')).toBe('chat.completion');
  expect(await ask('own')).toBe('chat.completion');
});

describe('a team that this process has just changed', () => {
  it.each([
    ['its metadata', () => router.updateTeam('acme', { metadata: { tier: 1 } })],
    ['its keys', () => router.createKey('acme')],
    ['its models', () => router.addModel('acme', { model_name: 'more', litellm_params })],
  ])('is served while the storage is out of reach: %s', async (_, change) => {
    await router.addModel('acme', { model_name: 'own', litellm_params });
    expect(await ask('own')).toBe('chat.completion');
    await change();
    broken = true;
    expect(await ask('own')).toBe('chat.completion');
  });

  it('is served as it was written', async () => {
    const { model_info } = await router.addModel('acme', { model_name: 'own', litellm_params });
    await router.addModel('acme', { model_name: 'kept', litellm_params });
    expect(await ask('own')).toBe('chat.completion');
    await router.deleteModel('acme', model_info.id);
    broken = true;
    expect(await ask('kept')).toBe('chat.completion');
    await expect(ask('own')).rejects.toMatchObject({ status: 503, code: 'storage_unavailable' });
    broken = false;
    await router.blockTeam('acme');
    broken = true;
    await expect(ask('kept')).rejects.toMatchObject({ code: 'team_blocked' });
  });

  it('is not served once it is deleted', async () => {
    await router.addModel('acme', { model_name: 'own', litellm_params });
    expect(await ask('own')).toBe('chat.completion');
    await router.deleteTeam('acme');
    broken = true;
    await expect(ask('own')).rejects.toMatchObject({ status: 503 });
  });

  it('keeps the written values if the caller changes its objects later', async () => {
    const extra_body = { user: 'written' };
    await router.addModel('acme', { model_name: 'own', litellm_params: { ...litellm_params, extra_body } });
    extra_body.user = 'changed';
    broken = true;
    expect(await ask('own')).toBe('chat.completion');
    expect(provider.requests.at(-1)?.body.toString()).toContain('written');
  });
});

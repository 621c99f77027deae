import { generateEncryptionKey, memoryStorage, type Storage, TeamModelRouter } from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Deployment } from '../../src/teams/records/deployment.ts';
import { limits } from '../../src/teams/records/team-record.ts';

let storage: Storage;
let router: TeamModelRouter;

beforeEach(() => {
  storage = memoryStorage();
  router = new TeamModelRouter({ storage, encryptionKeys: [generateEncryptionKey('k1')] });
});
afterEach(() => router.close({ drainTimeoutMs: 0 }));

const model = (name: string, params: object = {}) => ({
  model_name: name,
  litellm_params: { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', ...params },
});
const headers = (count: number, bytes: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`x-header-${at}`, 'v'.repeat(bytes)]));
const text = (bytes: number) => ({ extra_body: { text: 'x'.repeat(bytes) } });

describe('a deployment', () => {
  it.each([
    ['extra_headers', { extra_headers: headers(32, 8_000) }, 'litellm_params.extra_headers'],
    ['extra_body', { ...text(60_000), extra_headers: headers(4, 2_000) }, 'litellm_params.extra_body'],
    [
      'secrets together',
      { extra_headers: headers(30, 2_000), ...text(10_000) },
      'litellm_params.extra_headers',
    ],
  ])('above 64 KiB is refused by addModel, naming the largest field: %s', async (_, params, param) => {
    await expect(router.addModel('acme', model('m', params))).rejects.toMatchObject({
      code: 'invalid_request',
      param,
      message: expect.stringContaining(String(limits.deploymentBytes)),
    });
    expect((await router.listModels('acme')).data).toEqual([]);
  });

  it('above 64 KiB is refused by addModel, naming model_info.metadata', async () => {
    const body = { ...model('m', text(10_000)), model_info: { metadata: { note: 'x'.repeat(60_000) } } };
    await expect(router.addModel('acme', body)).rejects.toMatchObject({ param: 'model_info.metadata' });
  });

  it('that would grow above 64 KiB by updateModel stays as it is', async () => {
    const { model_id } = await router.addModel('acme', model('m', text(30_000)));
    const grown = { litellm_params: { extra_headers: headers(20, 2_000) } };
    await expect(router.updateModel('acme', model_id, grown)).rejects.toMatchObject({
      code: 'invalid_request',
      param: 'litellm_params.extra_headers',
    });
    expect((await router.getModel('acme', model_id)).litellm_params.extra_headers).toBeUndefined();
  });
});

describe('a record', () => {
  const fill = async () => {
    let added = 0;
    for (; added < limits.deployments; added++) {
      const refused = await router.addModel('acme', model(`m${added}`, text(60_000))).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (refused !== undefined) return { added, refused };
    }
    return { added, refused: undefined };
  };

  it('of 240 models of 377 KB ended the process: it ends at 2 MiB with a clear error', async () => {
    const { added, refused } = await fill();
    expect(added).toBeGreaterThan(20);
    expect(refused).toMatchObject({
      code: 'invalid_request',
      message: expect.stringContaining(String(limits.recordBytes)),
    });
    const stored = await storage.get('team/acme');
    if (typeof stored !== 'object') throw new Error('no record');
    expect(Buffer.byteLength(stored.value)).toBeLessThanOrEqual(limits.recordBytes);
  });

  it('that is full refuses keys and metadata too, and takes what makes it smaller', async () => {
    await fill();
    const large = { metadata: { note: 'x'.repeat(64_000) } };
    await expect(router.createKey('acme', large)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(router.updateTeam('acme', large)).rejects.toMatchObject({ code: 'invalid_request' });
    const { data } = await router.listModels('acme');
    await router.deleteModel('acme', data[0]?.model_info.id ?? '');
    await router.createKey('acme', { metadata: { note: 'x'.repeat(30_000) } });
  });

  it('takes of many changes at the same time those that fit', async () => {
    await fill();
    const { data } = await router.listModels('acme');
    await router.deleteModel('acme', data[0]?.model_info.id ?? '');
    const added = await Promise.allSettled([
      ...Array.from({ length: 10 }, (_, at) => router.addModel('acme', model(`large ${at}`, text(50_000)))),
      router.addModel('acme', model('small')),
    ]);
    expect(added.map(({ status }) => status)).toEqual([
      'fulfilled',
      ...Array<string>(9).fill('rejected'),
      'fulfilled',
    ]);
  });

  it('that is larger, from an earlier version, is listed, and may shrink but not grow', async () => {
    const { model_id } = await router.addModel('acme', model('m'));
    const stored = await storage.get('team/acme');
    if (typeof stored !== 'object') throw new Error('no record');
    const record = JSON.parse(stored.value) as { metadata: object };
    record.metadata = { note: 'x'.repeat(limits.recordBytes) };
    await storage.put('team/acme', JSON.stringify(record), stored.version);
    expect((await router.listModels('acme')).data).toHaveLength(1);
    await expect(router.addModel('acme', model('another'))).rejects.toMatchObject({
      code: 'invalid_request',
    });
    await router.deleteModel('acme', model_id);
    await router.updateTeam('acme', { metadata: {} });
    await router.addModel('acme', model('another'));
  });

  it('holds 1 000 ordinary models', async () => {
    const adding = Array.from({ length: 1000 }, (_, at) => router.addModel('acme', model(`model ${at}`)));
    expect(await Promise.all(adding)).toHaveLength(1000);
  });
});

describe('a list of models', () => {
  it('opens each secret once, not once for each time that it is read', async () => {
    for (let at = 0; at < 20; at++) await router.addModel('acme', model(`m${at}`));
    const other = new TeamModelRouter({ storage, encryptionKeys: [generateEncryptionKey('k2')] });
    const opened = vi.spyOn(Deployment.prototype, 'secrets');
    try {
      await router.listModels('acme');
      await Promise.all([router.listModels('acme'), router.listModels('acme')]);
      // Adding a model told already that its secrets open.
      expect(opened.mock.calls.length).toBeLessThanOrEqual(20);
      opened.mockClear();
      // A key that is not there needs no try.
      const { data } = await other.listModels('acme');
      expect(data.every(({ model_info }) => model_info.needs_reentry === true)).toBe(true);
      expect(opened).not.toHaveBeenCalled();
    } finally {
      opened.mockRestore();
    }
  });
});

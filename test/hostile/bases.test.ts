import { createServer, isIP, type Server } from 'node:net';
import fc from 'fast-check';
import { generateEncryptionKey, memoryStorage, type RouterOptions, TeamModelRouter } from 'team-model-router';
import { afterAll, afterEach, describe, expect, it, test } from 'vitest';
import { parseUrl } from '../../src/parse-url.ts';
import { runs } from '../support/runs.ts';
import { accepted, hostileBases, identifiers, refusedWhenDialled, refusedWhenStored } from './corpus.ts';

type Lookup = NonNullable<NonNullable<RouterOptions['egress']>['lookup']>;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const mustNotLookUp: Lookup = (hostname) => expect.unreachable(`${hostname} is looked up`);

/** Answers the first look-up with the first list of addresses, and so on; then with the last one again. */
function answering(...lists: string[][]): Lookup {
  let asked = 0;
  return (_, __, callback) => {
    const list = lists[Math.min(asked++, lists.length - 1)] ?? [];
    callback(
      null,
      list.map((address) => ({ address, family: isIP(address.split('%')[0] ?? '') })),
    );
  };
}

function makeRouter(egress: NonNullable<RouterOptions['egress']> = {}) {
  const storage = memoryStorage();
  const router = new TeamModelRouter({
    storage,
    encryptionKeys: [generateEncryptionKey()],
    egress: { lookup: mustNotLookUp, ...egress },
  });
  closing.push(() => router.close());
  return { router, storage };
}

const body = (api_base: string, model = 'hosted_vllm/m') => ({
  model_name: 'm',
  litellm_params: { model, api_key: 'sk-0123456789abcdef', api_base, num_retries: 0 },
});

const messages = [{ role: 'user' as const, content: 'hello' }];

test('the corpora are long ones', () => {
  const ids = Object.values(identifiers).flat();
  expect(new Set(hostileBases).size).toBeGreaterThanOrEqual(250);
  expect(new Set(refusedWhenDialled.map((entry) => JSON.stringify(entry))).size).toBeGreaterThanOrEqual(40);
  expect(ids.length).toBeGreaterThanOrEqual(90);
  expect(new Set(accepted.map((entry) => JSON.stringify(entry))).size).toBeGreaterThanOrEqual(100);
});

describe.each(Object.entries(refusedWhenStored))('%s', (_, bases) => {
  const storage = memoryStorage();
  const router = new TeamModelRouter({
    storage,
    encryptionKeys: [generateEncryptionKey()],
    egress: { lookup: mustNotLookUp },
  });
  afterAll(() => router.close({ drainTimeoutMs: 0 }));

  it.each(bases.map((base) => [JSON.stringify(base), base]))(
    '%s is refused when it is sent',
    async (_, base) => {
      const refusal = {
        code: expect.stringMatching(/^(api_base_not_allowed|invalid_request)$/),
        param: 'litellm_params.api_base',
      };
      await expect(router.addModel('acme', body(base))).rejects.toMatchObject(refusal);
      await expect(router.addSharedModel(body(base))).rejects.toMatchObject(refusal);
      const tested = await router.testModel('acme', body(base)).catch((error: unknown) => error);
      expect(tested).toMatchObject(
        'status' in (tested as object) && typeof (tested as { status: unknown }).status === 'string'
          ? { status: 'address_not_allowed' }
          : refusal,
      );
      expect((await storage.list('', { limit: 10 })).entries).toEqual([]);
    },
  );
});

it.each(accepted.map(({ base, allow = [] }) => [base, allow] as const))(
  '%s is accepted (%j)',
  async (base, allow) => {
    const { router } = makeRouter({ allow });
    const { model_id } = await router.addModel('acme', body(base));
    expect((await router.getModel('acme', model_id)).litellm_params.api_base).toBe(base);
  },
);

it('a model that an edit would send elsewhere stays as it was', async () => {
  const { router } = makeRouter();
  const { model_id } = await router.addModel('acme', body('https://llm.example/v1'));
  const before = await router.getModel('acme', model_id);
  for (const api_base of hostileBases) {
    const patch = { litellm_params: { api_base, api_key: 'sk-0123456789abcdef' } };
    await expect(router.updateModel('acme', model_id, patch), api_base).rejects.toMatchObject({
      param: 'litellm_params.api_base',
    });
  }
  expect(await router.getModel('acme', model_id)).toEqual(before);
});

describe('names and ids', () => {
  const azure = 'https://acme.openai.azure.com';

  it.each(identifiers.deployments.map((name) => [JSON.stringify(name), name]))(
    "%s is no Azure deployment's name",
    async (_, name) => {
      const { router } = makeRouter();
      const added = router.addModel('acme', body(azure, `azure/${name}`));
      await expect(added).rejects.toMatchObject({ code: 'invalid_request', param: 'litellm_params.model' });
    },
  );

  it.each(identifiers.models.map((name) => [JSON.stringify(name), name]))(
    '%s is no model',
    async (_, model) => {
      const { router } = makeRouter();
      const added = router.addModel('acme', body(azure, model));
      await expect(added).rejects.toMatchObject({ code: 'invalid_request', param: 'litellm_params.model' });
    },
  );

  it.each(identifiers.tenants.map((name) => [JSON.stringify(name), name]))(
    '%s is no tenant',
    async (_, tenant_id) => {
      const { router } = makeRouter();
      const params = {
        model: 'azure/m',
        api_base: azure,
        tenant_id,
        client_id: 'c',
        client_secret: 'a-secret',
      };
      const added = router.addModel('acme', { model_name: 'm', litellm_params: params });
      await expect(added).rejects.toMatchObject({
        code: 'invalid_request',
        param: 'litellm_params.tenant_id',
      });
    },
  );

  it.each(identifiers.paths)('%s is no id of a file, a batch or a response', async (id) => {
    // Whatever is not refused before it is dialled would be looked up.
    const { router } = makeRouter();
    await router.addModel('acme', body('https://llm.example/v1'));
    for (const path of [`/files/${id}`, `/files/${id}/content`, `/batches/${id}`, `/responses/${id}`]) {
      const call = {
        method: 'GET',
        path: `/v1${path}`,
        query: new URLSearchParams(),
        headers: new Headers(),
      };
      const answer = await router.dispatch({ teamId: 'acme' }, call);
      expect([400, 404], path).toContain(answer.status);
      const { error } = JSON.parse(String(answer.body)) as { error: { code: string } };
      expect(['invalid_request', 'not_found'], path).toContain(error.code);
    }
  });
});

describe('a listener on this host', () => {
  async function listener() {
    let connections = 0;
    const server: Server = createServer((socket) => {
      connections += 1;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => new Promise((resolve) => server.close(resolve)));
    const { port } = server.address() as { port: number };
    return { port, connections: () => connections };
  }

  async function outcome(router: TeamModelRouter, base: string): Promise<string | undefined> {
    try {
      const { model_id } = await router.addModel('acme', { ...body(base), model_name: base });
      await router.testModel('acme', { id: model_id });
      await router.chatCompletion('acme', { model: base, messages });
    } catch (error) {
      return (error as { code?: string }).code;
    }
    return 'answered';
  }

  it('sees a connection if the operator allows it, so that the next tests can fail', async () => {
    const { port, connections } = await listener();
    const { router } = makeRouter({ allow: [`http://127.0.0.1:${port}`] });
    expect(await outcome(router, `http://127.0.0.1:${port}/v1`)).toBe('provider_unreachable');
    expect(connections()).toBeGreaterThan(0);
  });

  it('sees none of all the spellings of its address', async () => {
    const { port, connections } = await listener();
    const { router } = makeRouter({ ports: [443, port] });
    const ours = /^(127\.|0\.0\.0\.0|localhost|.*\.localhost|\[::1\]|\[::ffff:7f00:1\])/;
    const spellings = Object.values(refusedWhenStored)
      .flat()
      .flatMap((base) => parseUrl(base) ?? [])
      .filter(({ protocol, hostname }) => protocol === 'https:' && ours.test(hostname));
    expect(spellings.length).toBeGreaterThan(40);
    for (const url of spellings) {
      url.port = String(port);
      expect(await outcome(router, url.href), url.href).toMatch(/^(api_base_not_allowed|invalid_request)$/);
    }
    expect(connections()).toBe(0);
  });

  it.each(['127.0.0.1', '::ffff:127.0.0.1', '::1', '0.0.0.0'])(
    'sees none through a name that resolves to %s',
    async (address) => {
      const { port, connections } = await listener();
      const { router } = makeRouter({ ports: [443, port], lookup: answering([address]) });
      expect(await outcome(router, `https://evil.example:${port}/v1`)).toBe('egress_denied');
      expect(connections()).toBe(0);
    },
  );

  it('sees none through a name whose answer changed after the model was added and tested', async () => {
    const { port, connections } = await listener();
    const { port: other, connections: first } = await listener();
    const allow = [`http://127.0.0.1:${other}`];
    const lookup = answering(['127.0.0.1'], ['127.0.0.2'], ['169.254.169.254'], ['127.0.0.1', '127.0.0.2']);
    const { router } = makeRouter({ allow, lookup });
    const { model_id } = await router.addModel('acme', body(`http://evil.example:${other}/v1`));
    expect(await router.testModel('acme', { id: model_id })).toMatchObject({ status: 'unreachable' });
    expect(first()).toBe(1);
    for (let turn = 0; turn < 3; turn++) {
      const call = router.chatCompletion('acme', { model: 'm', messages });
      await expect(call).rejects.toMatchObject({ code: 'egress_denied' });
    }
    expect([first(), connections()]).toEqual([1, 0]);
    expect(port).not.toBe(other);
  });
});

describe('variations', () => {
  const literal = fc.constantFrom(
    ...[
      'loopback, in every spelling',
      'metadata of clouds, in every spelling',
      'private and other special IPv4',
    ]
      .concat([
        'IPv6 that is not the public Internet',
        'IPv4 inside IPv6: mapped, compatible, NAT64, 6to4, Teredo',
      ])
      .flatMap((category) => refusedWhenStored[category] ?? []),
  );
  const hostOf = (base: string) => base.slice('https://'.length, -'/v1'.length);
  const fullwidth = (text: string) =>
    text.replace(/[0-9.]/g, (sign) => String.fromCodePoint((sign.codePointAt(0) ?? 0) + 0xfee0));
  const encoded = (text: string) =>
    text.replace(/[0-9.]/g, (sign) => `%${(sign.codePointAt(0) ?? 0).toString(16)}`);
  const change = fc.constantFrom<(host: string) => string>(
    (host) => host,
    (host) => host.toUpperCase(),
    (host) => (host.startsWith('[') ? host : fullwidth(host)),
    (host) => (host.startsWith('[') ? host : encoded(host)),
    (host) => `${host}.`,
    (host) => `${host}:443`,
    (host) => `${host}:0443`,
    (host) => `api.openai.com@${host}`,
    (host) => `api.openai.com:x@${host}`,
    (host) => `@${host}`,
    (host) => host.replace(/(?<=\d)\./, '\u3002'),
    (host) => host.replace(/(?<=.)./, (sign) => `\u00ad${sign}`),
    (host) => host.replace(/(?<=.)./, (sign) => `\t${sign}`),
  );
  const path = fc.constantFrom(
    '',
    '/',
    '/v1',
    '/v1/chat/completions',
    '/..//v1',
    '/?x',
    '/#.openai.azure.com',
    '\\v1',
  );
  const scheme = fc.constantFrom(
    'https://',
    'HTTPS://',
    'http://',
    'https:/',
    'https:///',
    'https:\\\\',
    ' https://',
  );

  test('of a hostile address are as hostile', async () => {
    const { router, storage } = makeRouter();
    await fc.assert(
      fc.asyncProperty(
        scheme,
        literal,
        fc.array(change, { maxLength: 3 }),
        path,
        async (start, base, changes, end) => {
          const given = start + changes.reduce((host, apply) => apply(host), hostOf(base)) + end;
          await expect(router.addModel('acme', body(given)), given).rejects.toMatchObject({
            param: 'litellm_params.api_base',
          });
        },
      ),
      { numRuns: runs(3_000) },
    );
    expect((await storage.list('', { limit: 10 })).entries).toEqual([]);
  });
});

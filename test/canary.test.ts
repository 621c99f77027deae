import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { pino } from 'pino';
import {
  callChannelName,
  copyStorage,
  errorCodes,
  memoryStorage,
  RouterError,
  type RouterErrorCode,
  type RouterOptions,
  type Storage,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { createGateway, type Gateway, type GatewayOptions } from 'team-model-router/http';
import { serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canary, canaryKey, Ear, hearTheConsole, plainCanary } from './support/canaries.ts';
import { closeConnections } from './support/connections.ts';
import { echoingProvider, failingModels } from './support/echoing-provider.ts';
import { bodiesOf, type DocumentedRoute, documentedRoutes, oncePerCall } from './support/every-route.ts';
import type { RecordingProvider } from './support/recording-provider.ts';
import { routerMethods } from './support/router-methods.ts';
import { type StoredBytes, storedBytes } from './support/stored-bytes.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

closeConnections();
const newFile = temporaryFolder();
const messages = [{ role: 'user' as const, content: canary('user', 'prompt') }];
const masterKey = plainCanary('operator', 'master-key');
const owners = ['acme', 'globex', 'operator'] as const;
type Owner = (typeof owners)[number];

/** The secrets of one owner, of every kind: no other has the same. */
const secretsOf = (owner: Owner) => ({
  api_key: canary(owner, 'api_key'),
  azure_ad_token: canary(owner, 'azure_ad_token'),
  client_secret: canary(owner, 'client_secret'),
  'x-first-own': canary(owner, 'first-header'),
  'x-second-own': canary(owner, 'second-header'),
});

/** Resolves to the error of a session whose provider speaks no WebSocket. */
function failureOf(router: TeamModelRouter, model: string): Promise<unknown> {
  const socket = router.connect('acme', { path: '/v1/realtime', model });
  return new Promise((resolve) => {
    socket.onerror = ({ error }) => resolve(error);
  });
}

describe.each(Object.entries(storedBytes))('over %s', (name, open) => {
  if (open === undefined) {
    it.skip(`its server is not installed`);
    return;
  }

  const ear = new Ear();
  const codes = new Set<string>();
  const providers = {} as Record<Owner, RecordingProvider>;
  const teamKeys = {} as Record<
    'acme' | 'globex' | 'acme calls' | 'acme manages' | 'acme reads' | 'acme spare',
    string
  >;
  const modelIds: Record<string, string> = {};
  const closing: (() => unknown)[] = [];
  let console: ReturnType<typeof hearTheConsole>;
  let stored: StoredBytes;
  /** The same; it outlives the routers. */
  let storage: Storage;
  let router: TeamModelRouter;
  let gateway: Gateway;
  let conflicting: Promise<unknown>;

  /** Every hook that an application may have is an ear. */
  function makeRouter(options: Partial<RouterOptions> = {}): TeamModelRouter {
    const made = new TeamModelRouter({
      storage,
      encryptionKeys: [canaryKey('new'), canaryKey('old')],
      egress: {
        allow: Object.values(providers).map(({ url }) => url),
        lookup: (_, __, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
      },
      onCall: (receipt) => ear.hear(receipt),
      logger: pino({ level: 'debug' }, { write: (line) => ear.hear(line) }),
      ...options,
    });
    closing.push(() => made.close());
    return made;
  }

  const makeGateway = (over: TeamModelRouter, options: Partial<GatewayOptions> = {}) =>
    createGateway(over, {
      masterKey,
      openapi: true,
      logger: pino({ level: 'debug' }, { write: (line) => ear.hear(line) }),
      ...options,
    });

  /** What an error shows, thrown or answered. */
  function hearCode(given: unknown): void {
    const { code, error } = given as { code?: unknown; error?: { code?: unknown } };
    for (const found of [code, error?.code]) if (typeof found === 'string') codes.add(found);
  }

  async function attempt(call: () => unknown): Promise<unknown> {
    try {
      const value = await call();
      ear.hear(value);
      return value;
    } catch (error) {
      ear.hear(error);
      hearCode(error);
      return error;
    }
  }

  /** One request to a gateway; the secret that it shows once is no canary's sighting. */
  async function request(
    over: Pick<Gateway, 'fetch'>,
    path: string,
    init: RequestInit = {},
  ): Promise<Response> {
    const answer = await over.fetch(new Request(`http://gateway.test${path}`, init));
    const text = await answer.clone().text();
    const minted =
      answer.ok && /^\/key\/(generate$|.*regenerate$)/.test(path)
        ? /"key":"(sk-[\w-]{43})"/.exec(text)?.[1]
        : undefined;
    if (minted !== undefined) ear.alsoSecret(minted);
    ear.hear(minted === undefined ? text : text.replace(minted, 'shown once'));
    ear.hear(`${answer.status} ${JSON.stringify([...answer.headers])}`);
    if (!answer.ok && text.startsWith('{')) hearCode(JSON.parse(text));
    return answer;
  }

  const paramsOf = (owner: Owner, model: string) => {
    const secrets = secretsOf(owner);
    return {
      model: `openai/${model}`,
      api_key: secrets.api_key,
      api_base: providers[owner].url,
      num_retries: 0,
      extra_headers: { 'x-first-own': secrets['x-first-own'], 'X-Second-Own': secrets['x-second-own'] },
    };
  };

  /** Models in Azure's form: one that signs with a token, and one whose secret goes to Entra. */
  const azureParams = (owner: Owner, model: string) => {
    const { api_key: _, ...params } = paramsOf(owner, model);
    return { ...params, model: `azure/${model}`, api_version: '2024-10-21' };
  };

  async function addModels(owner: Owner): Promise<void> {
    const add = async (model_name: string, litellm_params: object) => {
      const body = { model_name, litellm_params } as never;
      const added =
        owner === 'operator' ? await router.addSharedModel(body) : await router.addModel(owner, body);
      ear.hear(added);
      modelIds[`${owner} ${model_name}`] = added.model_id;
    };
    for (const model of ['good', 'hang', ...failingModels]) {
      await add(owner === 'operator' ? `shared-${model}` : model, paramsOf(owner, model));
    }
    if (owner === 'operator') return;
    const { azure_ad_token, client_secret } = secretsOf(owner);
    for (const model of ['good', 'echo-400'])
      await add(`azure-${model}`, { ...azureParams(owner, model), azure_ad_token });
    await add('entra', {
      ...azureParams(owner, 'good'),
      tenant_id: 'tenant',
      client_id: 'client',
      client_secret,
    });
  }

  beforeAll(async () => {
    console = hearTheConsole(ear);
    subscribe(callChannelName, hearReceipt);
    for (const owner of owners) providers[owner] = await echoingProvider();
    stored = await open(newFile(name));
    storage = { ...stored.storage, close: async () => {} };
    // What is stored first is sealed under the older key, and rotated later.
    const older = makeRouter({ encryptionKeys: [canaryKey('old')] });
    router = older;
    await addModels('acme');
    router = makeRouter();
    for (const owner of ['globex', 'operator'] as const) await addModels(owner);
    for (const team of ['acme', 'globex']) {
      await router.updateTeam(team, {
        models: ['shared-good', 'shared-echo-400'],
        settings: { fallbacks: [{ 'echo-503': ['good'] }] },
      });
    }
    const types = {
      acme: 'default',
      globex: 'default',
      'acme calls': 'llm_api',
      'acme manages': 'management',
      'acme reads': 'read_only',
      'acme spare': 'read_only',
    } as const;
    for (const [who, key_type] of Object.entries(types)) {
      const { key, ...rest } = await router.createKey(who.split(' ')[0] ?? '', { key_type });
      ear.hear(rest);
      ear.alsoSecret(key);
      teamKeys[who as keyof typeof teamKeys] = key;
    }
    gateway = makeGateway(router);
    // It is tried a hundred times, with pauses: begun here, it costs no time.
    const taken = makeRouter({ storage: { ...memoryStorage(), put: async () => undefined } });
    conflicting = attempt(() =>
      taken.addModel('acme', { model_name: 'm', litellm_params: paramsOf('acme', 'good') }),
    );
  });

  afterAll(async () => {
    for (const provider of Object.values(providers)) await provider.close();
  });

  const hearReceipt = (receipt: unknown) => ear.hear(receipt);

  it('calls of every kind, good and failing', async () => {
    for (const team of ['acme', 'globex'] as const) {
      const client = router.forTeam(team, { defaultModel: 'good' });
      const models = [
        'good',
        'azure-good',
        'azure-echo-400',
        'entra',
        'shared-good',
        'shared-echo-400',
        ...failingModels,
      ];
      for (const model of models) {
        await attempt(() => router.chatCompletion(team, { model, messages }));
        await attempt(async () => {
          for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }))
            ear.hear(chunk);
        });
        const answer = await router.fetchFor(team)(`${teamBaseUrl}/embeddings`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'x-prompt': 'x' },
          body: JSON.stringify({ model, input: 'x' }),
        });
        ear.hear([answer, [...answer.headers], await answer.text()]);
      }
      await attempt(() => router.chatCompletion(team, { model: 'hang', messages }, { timeout: 50 }));
      await attempt(() => client.files.list());
      await attempt(() =>
        client.audio.transcriptions.create({ model: 'echo-400', file: new File(['x'], 'x.wav') }),
      );
      await attempt(() => router.health(team));
      ear.hear([client, client.withOptions({}), router.fetchFor(team)]);
    }
    ear.hear([router, gateway, stored.storage]);
    expect(codes).toContain('provider_authentication_failed');
  });

  it('methods of the router, with what they take and with what they refuse', async () => {
    const good = modelIds['acme good'] ?? '';
    const shared = modelIds['operator shared-good'] ?? '';
    const { token } = (await router.listKeys('acme')).keys[0] ?? { token: '' };
    const params = paramsOf('acme', 'good');
    const body = (more: object, name = 'refused') =>
      ({ model_name: name, litellm_params: { ...params, ...more } }) as never;
    const methods: Record<string, (() => unknown)[]> = {
      createTeam: [
        () => router.createTeam({ team_id: 'spare' }),
        () => router.createTeam({ team_id: 'acme' }),
      ],
      updateTeam: [
        () => router.updateTeam('spare', { metadata: { a: 1 } }),
        () => router.updateTeam('spare', { api_key: params.api_key } as never),
      ],
      blockTeam: [() => router.blockTeam('spare')],
      isTeamBlocked: [() => router.isTeamBlocked('spare')],
      unblockTeam: [() => router.unblockTeam('spare')],
      allowSharedModels: [() => router.allowSharedModels('spare', ['shared-good'])],
      disallowSharedModels: [() => router.disallowSharedModels('spare', ['shared-good'])],
      listTeams: [() => router.listTeams()],
      getTeamInfo: [() => router.getTeamInfo('acme'), () => router.getTeamInfo('nobody')],
      addModel: [
        () => router.addModel('spare', body({}, 'taken')),
        () => router.addModel('acme', body({ api_key: `${params.api_key}\n` })),
        () => router.addModel('acme', body({ api_key: [params.api_key] })),
        () => router.addModel('acme', body({ api_kee: params.api_key })),
        () => router.addModel('acme', body({ api_base: 'https://10.0.0.1' })),
        () =>
          router.addModel(
            'acme',
            body({ api_base: `https://u:${encodeURIComponent(params.api_key)}@x.example` }),
          ),
        () => router.addModel('acme', body({ extra_headers: { host: params.api_key } })),
        () => router.addModel('acme', body({ azure_ad_token: params.api_key })),
        () => router.addModel('', body({})),
      ],
      updateModel: [
        () => router.updateModel('acme', good, { litellm_params: { timeout: 30, api_key: params.api_key } }),
        () => router.updateModel('acme', good, { litellm_params: { api_base: 'https://other.example/v1' } }),
        () => router.updateModel('acme', 'unknown', { litellm_params: { api_key: params.api_key } }),
      ],
      deleteModel: [() => router.deleteModel('spare', good)],
      getModel: [() => router.getModel('acme', good), () => router.getModel('globex', good)],
      listModels: [() => router.listModels('acme')],
      addSharedModel: [() => router.addSharedModel(body({ api_base: 'http://169.254.169.254' }))],
      updateSharedModel: [() => router.updateSharedModel(shared, { litellm_params: { timeout: 30 } })],
      deleteSharedModel: [() => router.deleteSharedModel('unknown')],
      listSharedModels: [() => router.listSharedModels()],
      findModelTeam: [() => router.findModelTeam(good)],
      testModel: Object.entries(modelIds)
        .filter(([of]) => of.startsWith('acme ') && of !== 'acme hang')
        .map(
          ([, id]) =>
            () =>
              router.testModel('acme', { id }),
        ),
      testSharedModel: [
        () => router.testSharedModel({ id: shared }),
        () => router.testSharedModel({ id: shared, api_key: params.api_key } as never),
      ],
      createKey: [
        async () => (await router.createKey('spare', { key_alias: 'x' })).token,
        () => router.createKey('spare', { key: teamKeys.acme } as never),
      ],
      updateKey: [
        () => router.updateKey('acme', token, { metadata: { a: 1 } }),
        () => router.updateKey('globex', teamKeys.acme, {}),
      ],
      deleteKey: [
        () => router.deleteKey('globex', teamKeys.acme),
        () => router.deleteKey('acme', `${teamKeys.acme} `),
      ],
      regenerateKey: [
        async () => {
          const { key, ...rest } = await router.regenerateKey('acme', teamKeys['acme spare'], {
            grace_period: '1h',
          });
          ear.alsoSecret(key);
          return rest;
        },
        () => router.regenerateKey('globex', teamKeys.acme),
        () => router.regenerateKey('acme', teamKeys.acme, { key: teamKeys.acme } as never),
      ],
      listModelGroups: [() => router.listModelGroups({ teamId: 'acme' })],
      blockKey: [() => router.blockKey('acme', teamKeys['acme reads'])],
      unblockKey: [() => router.unblockKey('acme', teamKeys['acme reads'])],
      getKey: [() => router.getKey('acme', teamKeys.acme)],
      listKeys: [() => router.listKeys('acme')],
      listAllKeys: [() => router.listAllKeys()],
      findKeyTeam: [() => router.findKeyTeam(teamKeys.acme)],
      verifyKey: [
        () => router.verifyKey(teamKeys.acme),
        () => router.verifyKey(masterKey),
        () => router.verifyKey(params.api_key),
      ],
      deleteTeam: [() => router.deleteTeam('spare')],
      rotateEncryption: [() => router.rotateEncryption({ onProgress: (progress) => ear.hear(progress) })],
      encryptionKeyUsage: [() => router.encryptionKeyUsage()],
      exportTeam: [() => router.exportTeam('acme'), () => router.exportTeam('nobody')],
      deleteUnreadable: [() => router.deleteUnreadable('team/acme'), () => router.deleteUnreadable('key/x')],
      health: [() => router.health('acme')],
      checkStorage: [() => router.checkStorage()],
      reserveMemory: [() => router.reserveMemory('acme').release()],
      dispatch: [
        () =>
          router.dispatch(
            { teamId: 'acme' },
            { method: 'GET', path: '/v1/models', query: new URLSearchParams(), headers: new Headers() },
          ),
      ],
      connect: ['good', 'unknown'].map((model) => () => failureOf(router, model)),
      openSession: ['good', 'unknown'].map((model) => async () => {
        const query = new URLSearchParams({ model });
        const opening = await router.openSession(
          { teamId: 'acme' },
          { path: '/v1/realtime', query, headers: new Headers() },
        );
        return 'answer' in opening ? opening.answer : expect.unreachable('a session opened');
      }),
      chatCompletion: [
        () => router.chatCompletion('acme', { model: 'good', messages, api_key: params.api_key } as never),
      ],
      forTeam: [() => router.forTeam('acme')],
      fetchFor: [() => router.fetchFor('acme')(`https://api.openai.com/?key=${params.api_key}`)],
    };
    for (const calls of Object.values(methods)) for (const call of calls) await attempt(call);
    const names = routerMethods(router);
    expect(names.filter((method) => methods[method] === undefined)).toEqual(['close']);
    expect(Object.keys(await router.encryptionKeyUsage())).toEqual(['new']);
    await copyStorage(stored.storage, memoryStorage(), { onProgress: (progress) => ear.hear(progress) });
  });

  it('every route that the gateway describes, by every credential, with good bodies and bad ones', async () => {
    const routes = oncePerCall(await documentedRoutes(gateway));
    expect(routes.length).toBeGreaterThan(100);
    ear.hear(await (await gateway.fetch(new Request('http://gateway.test/openapi.json'))).text());
    const callers = {
      ...teamKeys,
      master: masterKey,
      nobody: undefined,
      stranger: plainCanary('stranger', 'key'),
    };
    let answered = 0;
    for (const route of routes) {
      for (const [caller, key] of Object.entries(callers)) {
        const authorization: Record<string, string> =
          key === undefined ? {} : { authorization: `Bearer ${key}` };
        const requests = await requestsOf(route, caller);
        // The others are refused whatever they send, or are answered as these are.
        const sent = ['acme', 'master'].includes(caller) ? requests : requests.slice(0, 1);
        for (const [path, init] of sent) {
          const headers = { ...authorization, ...(init.headers as Record<string, string>) };
          const { ok } = await request(gateway, path, { ...init, method: route.method, headers });
          if (ok) answered += 1;
        }
      }
    }
    expect(answered).toBeGreaterThan(200);
  }, 240_000);

  /** What is sent to a route: of each shape that its description gives, and broken ones that carry secrets. */
  async function requestsOf(route: DocumentedRoute, caller: string): Promise<[string, RequestInit][]> {
    const { path, permission, query, schema, form, method } = route;
    const json = (body: unknown, headers = {}) => ({
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    if (permission === 'calls' || permission === 'names') {
      const named = path.replace(/\{\w+\}/g, path.includes('/deployments/') ? 'echo-400' : 'file-0123456789');
      const bare: [string, RequestInit][] = ['good', 'echo-400'].map((model) => [
        named,
        { headers: { 'x-team-model': model } },
      ]);
      if (method !== 'POST') return bare;
      const body = { messages, input: 'x', prompt: 'x', training_file: 'file-1', voice: 'alloy' };
      const fields = new FormData();
      fields.set('model', 'echo-400');
      fields.set('file', new File([canary('user', 'file')], 'x.wav'));
      return [
        ...bare,
        ...['good', 'echo-500', 'unknown'].map((model): [string, RequestInit] => [
          named,
          json({ ...body, model }),
        ]),
        [named, json({ ...body, model: 'good', stream: true })],
        [named, json({ ...body, model: 'good', api_key: secretsOf('acme').api_key })],
        ...(form ? [[named, { body: fields }] as [string, RequestInit]] : []),
      ];
    }
    const spare = ['acme', 'master'].includes(caller) ? await makeSpare(caller) : undefined;
    const target = path.replace(/\{\w+\}/g, spare?.id ?? 'x');
    if (schema === undefined) {
      const all = query.map((name): [string, RequestInit] => [
        `${target}?${name}=${encodeURIComponent(String(spare?.values[name] ?? '1'))}`,
        {},
      ]);
      return [[target, {}], ...all, [`${target}?api_key=${encodeURIComponent(masterKey)}`, {}]];
    }
    const broken = {
      ...secretsOf('acme'),
      key: [teamKeys.acme],
      model_name: { masterKey },
      litellm_params: { api_key: [secretsOf('acme').api_key] },
    };
    return [
      ...bodiesOf(schema, spare?.values ?? {}).map((body): [string, RequestInit] => [target, json(body)]),
      [target, json({})],
      [target, json(broken)],
      [
        target,
        { headers: { 'content-type': 'application/json' }, body: JSON.stringify(broken).slice(0, -3) },
      ],
      [
        target,
        { headers: { 'content-type': `text/${plainCanary('user', 'type')}` }, body: JSON.stringify(broken) },
      ],
    ];
  }

  let spares = 0;

  /** Something of the caller's own that a route may change, block or delete, by the names of the fields that take it. */
  async function makeSpare(caller: string) {
    const team = caller === 'master' ? `spare-${++spares}` : 'acme';
    const { model_id: id } = await router.addModel(team, {
      model_name: 'spare',
      litellm_params: paramsOf('acme', 'good'),
    });
    const { token } = await router.createKey(team);
    const values: Record<string, unknown> = {
      id,
      litellm_model_id: id,
      team_id: team,
      team_ids: [`${team}-to-delete`],
      team_alias: 'an alias',
      models: ['shared-good'],
      metadata: { note: 'x' },
      key: token,
      keys: [token],
      key_alias: 'an alias',
      model_name: 'spare',
      litellm_params: paramsOf('acme', 'echo-400'),
      model_info: ({ required }: { required?: string[] }) =>
        required?.includes('id') ? { id } : { team_id: team },
    };
    if (caller === 'master') await router.createTeam({ team_id: `${team}-to-delete` });
    return { id, values };
  }

  it('every error of the table', async () => {
    const ask = (over: TeamModelRouter, model = 'good') =>
      attempt(() => over.chatCompletion('acme', { model, messages }, { maxRetries: 0 }));
    const acme = { authorization: `Bearer ${teamKeys.acme}` };
    const words = plainCanary('user', 'words');
    const failing = (code: string): Storage => ({
      ...stored.storage,
      close: async () => {},
      get: () => Promise.reject(Object.assign(new Error(code), { code })),
    });
    const provoke: Partial<Record<RouterErrorCode, () => unknown>> = {
      team_blocked: async () => {
        await router.blockTeam('acme');
        await ask(router);
        await request(gateway, '/team/info', { headers: acme });
        await router.unblockTeam('acme');
      },
      key_blocked: async () => {
        await router.blockKey('acme', teamKeys['acme calls']);
        await attempt(() => router.verifyKey(teamKeys['acme calls']));
        await router.unblockKey('acme', teamKeys['acme calls']);
      },
      request_too_large: () => ask(makeRouter({ maxBodyBytes: 10 })),
      stateful_on_shared: () =>
        attempt(() => router.forTeam('acme', { defaultModel: 'shared-good' }).files.list()),
      not_found: () => request(gateway, `/v1/nothing?key=${words}`, { headers: acme }),
      method_not_allowed: () =>
        request(gateway, `/v1/chat/completions?key=${words}`, { method: 'DELETE', headers: acme }),
      internal_error: async () => {
        for (let turn = 0; turn < 2; turn++)
          await router.addModel('acme', { model_name: 'pair', litellm_params: paramsOf('acme', 'good') });
        const random = () => {
          throw new TypeError(words);
        };
        await ask(makeRouter({ random }), 'pair');
      },
      storage_unavailable: async () => {
        const broken = makeRouter({ storage: failing('ECONNREFUSED') });
        await ask(broken);
        await request(makeGateway(broken), '/health/readiness');
        await request(makeGateway(broken), '/team/info?team_id=acme', {
          headers: { authorization: `Bearer ${masterKey}` },
        });
      },
      corrupt_record: async () => {
        const storage = memoryStorage();
        await storage.put('team/acme', `{"format":1,"team_id":"${masterKey}"`, null);
        const broken = makeRouter({ storage });
        await attempt(() => broken.listModels('acme'));
        await ask(broken);
      },
      credential_unreadable: async () => {
        const storage = memoryStorage();
        await copyStorage(stored.storage, storage);
        const other = makeRouter({ storage, encryptionKeys: [canaryKey('other')] });
        await ask(other);
        await attempt(() => other.listModels('acme'));
        await attempt(() => other.rotateEncryption());
      },
      conflict: () => conflicting,
      rate_limit_exceeded: async () => {
        const id = modelIds['acme good'] ?? '';
        await router.updateModel('acme', id, { litellm_params: { rpm: 1 } });
        for (let turn = 0; turn < 2; turn++) await ask(router);
        await router.updateModel('acme', id, { litellm_params: { rpm: null } });
      },
      no_healthy_deployment: async () => {
        for (let turn = 0; turn < 5; turn++) await ask(router, 'echo-500');
      },
      overloaded: async () => {
        const full = makeRouter({ maxBytesInFlight: 1_048_576 });
        const others = full.reserveMemory('globex');
        others.hold(1_048_576);
        await ask(full);
        others.release();
      },
      draining: async () => {
        let held: (() => void) | undefined;
        const slow = makeGateway(router, {
          authenticate: () =>
            new Promise((resolve) => (held = () => resolve({ teamId: 'acme', keyType: 'default' }))),
        });
        const server = await serveGateway(slow, { port: 0 });
        const open = fetch(`${server.url}/team/info`);
        await expect.poll(() => held).toBeDefined();
        const closed = server.close();
        await request(
          { fetch: (given: Request) => fetch(server.url + new URL(given.url).pathname) },
          '/health/readiness',
        );
        held?.();
        ear.hear(await (await open).text());
        await closed;
      },
    };
    for (const call of Object.values(provoke)) await call();
    expect(Object.keys(errorCodes).filter((code) => !codes.has(code))).toEqual([]);
  });

  it('of all that was heard, nothing is a secret; each secret went to its own provider alone', async () => {
    await new Promise(setImmediate);
    unsubscribe(callChannelName, hearReceipt);
    console.stop();
    expect(console.printed).toEqual([]);
    expect(ear.size).toBeGreaterThan(2_000);
    expect(ear.found()).toEqual([]);
    for (const owner of owners) {
      const received = providers[owner].everything();
      const { client_secret: _, azure_ad_token, ...sent } = secretsOf(owner);
      for (const secret of Object.values(sent)) expect(received).toContain(secret);
      if (owner !== 'operator') expect(received).toContain(azure_ad_token);
      for (const other of owners.filter((another) => another !== owner)) {
        for (const secret of Object.values(secretsOf(other))) expect(received).not.toContain(secret);
      }
      for (const secret of [masterKey, ...Object.values(teamKeys), secretsOf(owner).client_secret])
        expect(received).not.toContain(secret);
    }
  });

  it('nothing of it is stored in the clear', async () => {
    const while_open = await stored.read();
    expect(while_open).toContain('tmr1.new.');
    for (const close of closing.splice(0)) await close();
    await stored.storage.close();
    const closed = await stored.read();
    expect(closed).toContain('tmr1.new.');
    expect([...ear.in(while_open), ...ear.in(closed)]).toEqual([]);
  });
});

it('a canary is found in whatever form it shows, so that the tests before can fail', () => {
  const secret = canary('acme', 'api_key');
  const spelled = [
    secret,
    JSON.stringify(JSON.stringify({ secret })),
    encodeURIComponent(secret),
    Buffer.from(`x${secret}`).toString('base64'),
    Buffer.from(`xx${secret}`).toString('base64url'),
    Buffer.from(secret).toString('hex'),
    [...secret].reverse().join(''),
    secret.slice(0, 20),
    secret.slice(-20),
    canaryKey('new').key,
  ];
  for (const text of spelled) {
    const ear = new Ear();
    ear.hear(text);
    expect(ear.found(), text).not.toEqual([]);
  }
  const hidden: unknown[] = [
    new RouterError('internal_error', 'x', { cause: new Error(secret) }),
    Object.defineProperty({}, 'hidden', { value: secret }),
    { deep: { deeper: { deepest: new Map([[1, new Set([Buffer.from(secret)])]]) } } },
    { toJSON: () => secret },
  ];
  for (const value of hidden) {
    const ear = new Ear();
    ear.hear(value);
    expect(ear.found()).not.toEqual([]);
  }
});

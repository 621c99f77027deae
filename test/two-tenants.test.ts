import {
  generateEncryptionKey,
  type ModelView,
  memoryStorage,
  type Storage,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { afterAll, beforeAll, expect, it } from 'vitest';
// The gateway's own table: a route that it does not name does not exist.
import { type RouteEntry, routeTable } from '../src/http/routes/route-table.ts';
import { type RecordingProvider, recordingProvider } from './support/recording-provider.ts';
import { routerMethods } from './support/router-methods.ts';

const masterKey = 'master-key-of-the-operator-0123456789';
const messages = [{ role: 'user' as const, content: 'hello' }];
const victim = 'Team-B';
const attacker = 'team-a';
const secretName = 'Geheim-Modell-\u00fc';

let provider: RecordingProvider;
let victims: RecordingProvider;
let storage: Storage;
let writes: string[];
let router: TeamModelRouter;
let shared: Gateway;
let model: ModelView;
let victimKey: { key: string; token: string };
let attackerKey: string;
/** Everything of team B that has a name, and what else it could be written as, beside one that nobody has. */
const identifiers = new Map<string, [theirs: string, nobodys: string]>();

beforeAll(async () => {
  [provider, victims] = [await recordingProvider(), await recordingProvider()];
  writes = [];
  const memory = memoryStorage();
  storage = {
    ...memory,
    put(key, ...rest) {
      if (!isProbe(key)) writes.push(`put ${key}`);
      return memory.put(key, ...rest);
    },
    delete(key, ...rest) {
      writes.push(`delete ${key}`);
      return memory.delete(key, ...rest);
    },
  };
  router = new TeamModelRouter({
    storage,
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url, victims.url] },
  });
  shared = createGateway(router, { masterKey });
  const body = (model_name: string, api_base: string) => ({
    model_name,
    litellm_params: { model: 'm', api_key: 'sk-0123456789abcdef', api_base, num_retries: 2 },
  });
  await router.addModel(attacker, body('own', provider.url));
  model = await router.addModel(victim, body(secretName, victims.url));
  await router.updateTeam(victim, { team_alias: 'The-Victims' });
  victimKey = await router.createKey(victim, { key_alias: 'their-key-alias' });
  attackerKey = (await router.createKey(attacker, {})).key;
  const named = {
    'public name': secretName,
    'model id': model.model_id,
    'internal name (an alias)': model.model_name,
    'team id': victim,
    'team alias': 'The-Victims',
    'key hash': victimKey.token,
    'key alias': 'their-key-alias',
    'shown key': `sk-...${victimKey.key.slice(-4)}`,
    'response id': 'resp_0123456789abcdef',
    'file id': 'file-0123456789abcdef',
  };
  for (const [kind, value] of Object.entries(named)) {
    const nobodys = unknownLike(value);
    identifiers.set(kind, [value, nobodys]);
    for (const [how, change] of Object.entries(variants)) {
      if (change(value) !== value) identifiers.set(`${kind}, ${how}`, [change(value), change(nobodys)]);
    }
  }
});

beforeAll(worksForItsOwner);

afterAll(async () => {
  await worksForItsOwner();
  await router.close({ drainTimeoutMs: 0 });
  await Promise.all([provider.close(), victims.close()]);
});

const variants: Record<string, (text: string) => string> = {
  'in lower case': (text) => text.toLowerCase(),
  'in upper case': (text) => text.toUpperCase(),
  decomposed: (text) => text.normalize('NFD'),
  'in full width': (text) =>
    text.replace(/[!-~]/g, (sign) => String.fromCodePoint((sign.codePointAt(0) ?? 0) + 0xfee0)),
  'with a space behind': (text) => `${text} `,
  'percent-encoded': (text) =>
    encodeURIComponent(text).replace(/[-_.]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`),
};

/** One of the same form and length that nobody has: it begins as internal names and keys do, and goes on otherwise. */
function unknownLike(text: string): string {
  const turn = (alphabet: string) => (sign: string) =>
    alphabet[(alphabet.indexOf(sign) + 5) % alphabet.length] ?? sign;
  const [, prefix = '', rest = ''] = /^(model_name_|sk-|resp_|file-|)(.*)$/is.exec(text) ?? [];
  return (
    prefix +
    rest.replace(/[0-9]|[a-f]|[g-z]|[A-F]|[G-Z]/g, (sign) => {
      if (/[0-9]/.test(sign)) return turn('0123456789')(sign);
      if (/[a-f]/.test(sign)) return turn('abcdef')(sign);
      if (/[A-F]/.test(sign)) return turn('ABCDEF')(sign);
      return /[g-z]/.test(sign) ? turn('ghijklmnopqrstuvwxyz')(sign) : turn('GHIJKLMNOPQRSTUVWXYZ')(sign);
    })
  );
}

/** What of an answer may differ: when and under which id it was given, and the identifier that it repeats. */
function comparable(answer: unknown, identifier: string): string {
  const text = JSON.stringify(answer) ?? '';
  const forms = [identifier, encodeURIComponent(identifier), JSON.stringify(identifier).slice(1, -1)];
  const twice = forms.map((form) => JSON.stringify(form).slice(1, -1));
  let shown = text;
  for (const form of [...new Set([...twice, ...forms, encodeURI(identifier)])].sort(
    (a, b) => b.length - a.length,
  )) {
    shown = shown.replaceAll(form, '<identifier>');
  }
  return shown;
}

// How often a call was tried is between us and its provider, who may close a connection that stood idle.
const varying =
  /^(date|x-request-id|x-litellm-call-id|x-litellm-response-duration-ms|x-litellm-overhead-duration-ms|x-litellm-attempted-retries|retry-after)$/;

async function asAnswer(response: Response): Promise<unknown> {
  const headers = [...response.headers].filter(([name]) => !varying.test(name)).sort();
  return { status: response.status, headers, body: await response.text() };
}

async function asOutcome(call: () => unknown): Promise<unknown> {
  try {
    const value = await call();
    return value instanceof Response ? await asAnswer(value) : { value };
  } catch (error) {
    const { name, message, code, status, param, error: body } = error as Record<string, unknown>;
    return { name, message, code, status, param, body };
  }
}

async function everythingStored(): Promise<unknown> {
  const { entries } = await storage.list('', { limit: 1000 });
  return entries.filter(({ key }) => !isProbe(key)).map(({ key, value }) => [key, value]);
}

/** Readiness writes a row of its own, whoever asks. */
function isProbe(key: string): boolean {
  return key.startsWith('probe:');
}

/** Each of B's identifiers does for B what it is for. */
async function worksForItsOwner(): Promise<void> {
  const before = victims.requests.length;
  for (const name of [secretName, model.model_id])
    await router.chatCompletion(victim, { model: name, messages });
  expect(victims.requests).toHaveLength(before + 2);
  expect(await router.getModel(victim, model.model_id)).toEqual(model);
  const { team_info } = await router.getTeamInfo(victim);
  expect(team_info.litellm_model_table.model_aliases).toEqual({ [secretName]: model.model_name });
  expect(team_info.team_alias).toBe('The-Victims');
  expect(await router.getKey(victim, victimKey.token)).toMatchObject({ key_alias: 'their-key-alias' });
  expect(await router.verifyKey(victimKey.key)).toMatchObject({ teamId: victim });
  for (const path of ['/responses/resp_0123456789abcdef', '/files/file-0123456789abcdef']) {
    await router.fetchFor(victim)(teamBaseUrl + path);
    expect(victims.requests.at(-1)?.url).toBe(`/v1${path}`);
  }
}

/** Whatever A asks for by an identifier of B is answered as for one that nobody has, and changes nothing. */
async function comparesEqual(
  asks: readonly ((identifier: string) => unknown)[],
  chosen: (kind: string) => boolean = () => true,
): Promise<void> {
  const stored = await everythingStored();
  const reached = victims.requests.length;
  writes.length = 0;
  for (const [kind, [identifier, unknown]] of identifiers) {
    if (!chosen(kind)) continue;
    expect(unknown, kind).not.toBe(identifier);
    for (const [index, ask] of asks.entries()) {
      const theirs = comparable(await asOutcome(() => ask(identifier)), identifier);
      const nobodys = comparable(await asOutcome(() => ask(unknown)), unknown);
      expect(theirs, `${kind}, way ${index}`).toBe(nobodys);
    }
  }
  expect(writes).toEqual([]);
  expect(await everythingStored()).toEqual(stored);
  expect(victims.requests).toHaveLength(reached);
}

const params = { model: 'm', api_key: 'sk-0123456789abcdef', api_base: 'https://llm.example' };
const patch = { litellm_params: { weight: 2 } };

/** Where a team's methods take an identifier. */
const teamMethods: Record<string, ((identifier: string) => unknown)[]> = {
  addModel: [
    (id) =>
      router.addModel(attacker, { model_name: 'x', litellm_params: params, model_info: { team_id: id } }),
    (id) =>
      router.addModel(attacker, { model_name: 'x', litellm_params: params, model_info: { id } } as never),
  ],
  updateModel: [
    (id) => router.updateModel(attacker, id, patch),
    (id) => router.updateModel(attacker, id, { model_info: { id }, ...patch }),
    (id) => router.updateModel(attacker, id, { model_info: { team_id: id } }),
  ],
  deleteModel: [(id) => router.deleteModel(attacker, id)],
  getModel: [(id) => router.getModel(attacker, id)],
  listModels: [(id) => router.listModels(unlessOwn(id))],
  health: [(id) => router.health(unlessOwn(id))],
  testModel: [
    (id) => router.testModel(attacker, { id }),
    (id) =>
      router.testModel(attacker, { model_name: 'x', litellm_params: params, model_info: { team_id: id } }),
  ],
  updateKey: [(id) => router.updateKey(attacker, id, { key_alias: 'x' })],
  deleteKey: [(id) => router.deleteKey(attacker, id)],
  blockKey: [(id) => router.blockKey(attacker, id)],
  unblockKey: [(id) => router.unblockKey(attacker, id)],
  getKey: [(id) => router.getKey(attacker, id)],
  regenerateKey: [
    (id) => router.regenerateKey(attacker, id),
    (id) => router.regenerateKey(attacker, id, { grace_period: '1d' }),
  ],
  listModelGroups: [
    (id) => router.listModelGroups({ teamId: unlessOwn(id) }),
    (id) => router.listModelGroups({ teamId: attacker, models: [id] }),
  ],
  verifyKey: [(id) => router.verifyKey(id)],
  chatCompletion: [
    (id) => router.chatCompletion(attacker, { model: id, messages }),
    async (id) => {
      for await (const _ of await router.chatCompletion(attacker, { model: id, messages, stream: true }));
    },
  ],
  forTeam: [
    (id) => router.forTeam(attacker, { defaultModel: id }).files.list(),
    (id) => router.forTeam(attacker).embeddings.create({ model: id, input: 'x' }),
    (id) => router.forTeam(attacker).models.retrieve(id),
    (id) => router.forTeam(attacker).responses.retrieve(id),
    (id) =>
      router.forTeam(attacker).audio.transcriptions.create({ model: id, file: new File(['x'], 'x.wav') }),
  ],
  fetchFor: [
    (id) => router.fetchFor(attacker)(`${teamBaseUrl}/files/${encodeURIComponent(id)}`),
    (id) => router.fetchFor(attacker)(`${teamBaseUrl}/files?model=${encodeURIComponent(id)}`),
    (id) => router.fetchFor(attacker, { defaultModel: id })(`${teamBaseUrl}/files`),
  ],
  dispatch: [
    async (id) => {
      const sent = Buffer.from(JSON.stringify({ model: id, messages }));
      const headers = new Headers({ 'content-type': 'application/json' });
      const call = {
        method: 'POST',
        path: '/v1/chat/completions',
        query: new URLSearchParams(),
        headers,
        body: sent,
      };
      const { status, body } = await router.dispatch({ teamId: attacker }, call);
      return { status, body: String(body) };
    },
  ],
  connect: [
    async (id) => {
      const socket = router.connect(attacker, { path: '/v1/realtime', model: id });
      const { error } = await new Promise<{ error: Error }>((resolve) =>
        socket.addEventListener('error', (event) => resolve(event as unknown as { error: Error })),
      );
      return error.message;
    },
  ],
  openSession: [
    async (id) => {
      const query = new URLSearchParams({ model: id });
      const request = { path: '/v1/realtime', query, headers: new Headers() };
      const opened = await router.openSession({ teamId: attacker }, request);
      return 'answer' in opened ? String(opened.answer.body) : 'opened';
    },
    async (id) => {
      const path = `/v1/live/sessions/${encodeURIComponent(id)}/attach`;
      const request = { path, query: new URLSearchParams({ model: id }), headers: new Headers() };
      const opened = await router.openSession({ teamId: attacker }, request);
      return 'answer' in opened ? String(opened.answer.body) : 'opened';
    },
  ],
};

/** They take the id of the team they are about from the operator: whoever may call them decides for all teams. */
const operatorMethods = [
  'createTeam', 'updateTeam', 'deleteTeam', 'blockTeam', 'unblockTeam', 'allowSharedModels', 'disallowSharedModels',
  'listTeams', 'getTeamInfo', 'isTeamBlocked', 'createKey', 'listKeys', 'listAllKeys', 'findKeyTeam', 'findModelTeam',
  'addSharedModel', 'updateSharedModel', 'deleteSharedModel', 'listSharedModels', 'testSharedModel',
  'rotateEncryption', 'encryptionKeyUsage', 'checkStorage', 'close', 'exportTeam', 'deleteUnreadable', 'reserveMemory',
]; // biome-ignore format: a table

/** A team's id is the application's to say, so B's own one is not the attacker's to give. */
const unlessOwn = (id: string) => (id === victim ? unknownLike(id) : id);

it("every method of the router is driven, or is the operator's", () => {
  expect(routerMethods(router)).toEqual([...Object.keys(teamMethods), ...operatorMethods].sort());
});

it.each(Object.entries(teamMethods))("the method %s tells nothing of another team's identifiers", (_, asks) =>
  comparesEqual(asks),
);

/** Bodies of the management endpoints that take an identifier, by path; the others of `POST` are calls. */
const bodies: Record<string, (identifier: string) => unknown> = {
  '/model/new': (id) => ({ model_name: 'x', litellm_params: params, model_info: { team_id: id } }),
  '/model/add': (id) => ({ model_name: 'x', litellm_params: params, model_info: { team_id: id } }),
  '/model/update': (id) => ({ model_info: { id }, ...patch }),
  '/model/{id}/update': (id) => ({ ...patch, model_info: { team_id: id } }),
  '/model/delete': (id) => ({ id }),
  '/health/test_connection': (id) => ({ model_info: { id } }),
  '/team/new': (id) => ({ team_id: id }),
  '/team/update': (id) => ({ team_id: id, team_alias: 'x' }),
  '/team/block': (id) => ({ team_id: id }),
  '/team/unblock': (id) => ({ team_id: id }),
  '/team/delete': (id) => ({ team_ids: [id] }),
  '/team/model/add': (id) => ({ team_id: id, models: ['x'] }),
  '/team/model/delete': (id) => ({ team_id: id, models: ['x'] }),
  '/key/generate': (id) => ({ team_id: id }),
  '/key/update': (id) => ({ key: id, key_alias: 'x' }),
  '/key/block': (id) => ({ token: id }),
  '/key/unblock': (id) => ({ key: id }),
  '/key/delete': (id) => ({ keys: [id], key_aliases: [id] }),
  '/key/regenerate': (id) => ({ key: id }),
  '/key/{key}/regenerate': () => ({}),
};

const called = ['public name', 'model id', 'response id'];

const isCall = ({ permission }: RouteEntry) => permission === 'calls' || permission === 'names';

/** The requests of one route that carry an identifier, wherever it may stand. */
function requestsOf({ method, path, ...rest }: RouteEntry, identifier: string): Request[] {
  const encoded = encodeURIComponent(identifier);
  const filled = path.replace(/\{\w+\}/g, encoded);
  const url = (query = '') => `https://gateway.test${filled}${query}`;
  const authorization = `Bearer ${attackerKey}`;
  const json = (body: unknown, headers = {}) => ({
    method,
    headers: { authorization, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const bare = (headers = {}) => ({ method, headers: { authorization, ...headers } });
  const all: [string, RequestInit][] = [];
  if (isCall({ method, path, ...rest })) {
    const body = { model: identifier, messages, input: 'x', prompt: 'x' };
    if (method === 'POST') all.push([url(), json(body)], [url(), form(identifier, bare())]);
    else all.push([url(), bare()]);
    all.push([url(`?model=${encoded}`), bare()], [url(), bare({ 'x-team-model': encoded })]);
  } else if (method === 'POST' || method === 'PATCH') {
    const body = bodies[path];
    if (body === undefined) throw new Error(`${method} ${path} has no body here`);
    all.push([url(), json(body(identifier))]);
  } else {
    const { query } = rest as { query?: { shape?: object } };
    all.push([url(), bare()]);
    for (const name of Object.keys(query?.shape ?? {})) all.push([url(`?${name}=${encoded}`), bare()]);
  }
  return all.map(([target, init]) => new Request(target, init));
}

function form(identifier: string, init: RequestInit): RequestInit {
  const fields = new FormData();
  fields.set('model', identifier);
  fields.set('file', new File(['x'], 'x.wav'));
  return { ...init, body: fields };
}

it('every endpoint of the gateway can carry an identifier here', () => {
  expect(routeTable.length).toBeGreaterThan(80);
  for (const entry of routeTable) expect(requestsOf(entry, 'x').length, entry.path).toBeGreaterThan(0);
});

it.each(routeTable.map((entry) => [`${entry.method} ${entry.path}`, entry] as const))(
  "%s tells nothing of another team's identifiers",
  async (_, entry) => {
    const ways = requestsOf(entry, 'x').map((_, way) => (identifier: string) => {
      // A gateway of its own: the endpoint that counts its callers is to answer all the same.
      const gateway =
        entry.path === '/health/test_connection' ? createGateway(router, { masterKey }) : shared;
      return gateway.fetch(requestsOf(entry, identifier)[way] ?? new Request('https://gateway.test'));
    });
    // The calls are many, and resolve names in one place: there the other spellings are tried through the methods.
    await comparesEqual(ways, (kind) => !isCall(entry) || called.includes(kind));
  },
);

import {
  type EncryptionKey,
  generateEncryptionKey,
  isRouterError,
  memoryStorage,
  type RouterOptions,
  TeamModelRouter,
} from 'team-model-router';
import { createGateway, type GatewayOptions } from 'team-model-router/http';
import { expressGateway } from 'team-model-router/http/express';
import { fastifyGateway } from 'team-model-router/http/fastify';
import { type ServeOptions, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const secret = Buffer.alloc(31, 7).toString('base64');
const masterKey = 'm'.repeat(32);
const good = (): RouterOptions => ({
  storage: memoryStorage(),
  encryptionKeys: [generateEncryptionKey('k')],
});

async function refusal(action: () => unknown): Promise<{ message: string; param: string | null }> {
  try {
    await action();
  } catch (error) {
    if (!isRouterError(error)) throw error;
    expect(error).toMatchObject({ code: 'invalid_request', status: 400 });
    return error as unknown as { message: string; param: string | null };
  }
  return expect.unreachable('the options were taken');
}

describe('new TeamModelRouter', () => {
  const make = (options?: unknown) => () => new TeamModelRouter(options as RouterOptions);
  const needed = 'must be a storage, such as memoryStorage()';
  const keys = 'must be a list of keys, such as [generateEncryptionKey()]';

  it.each<[string, unknown, string]>([
    ['nothing', undefined, `storage: ${needed}. encryptionKeys: ${keys}.`],
    ['no option', {}, `storage: ${needed}. encryptionKeys: ${keys}.`],
    ['a storage alone', { storage: memoryStorage() }, `encryptionKeys: ${keys}.`],
    [
      'the address of a storage',
      { ...good(), storage: 'redis://127.0.0.1' },
      "storage: must be a storage, not an address. Pass sqliteStorage('models.sqlite'), redisStorage(client), postgresStorage(pool), keyvStorage(keyv) or memoryStorage().",
    ],
    ['null', null, 'options: must be an object.'],
    ['a list', [], 'options: must be an object.'],
    ['a string', 'models.sqlite', 'options: must be an object.'],
    [
      'a misspelt required option',
      { storag: memoryStorage(), encryptionKeys: [generateEncryptionKey()] },
      'Unknown field storag. Did you mean storage?',
    ],
    ['a misspelt optional one', { ...good(), maxTeam: 1 }, 'Unknown field maxTeam. Did you mean maxTeams?'],
    ['another type', { ...good(), maxTeams: '10' }, 'maxTeams: must be a number.'],
    ['half a number', { ...good(), maxTeams: 1.5 }, 'maxTeams: must be a whole number.'],
    ['too little', { ...good(), affinityTtlMs: 1 }, 'affinityTtlMs: must be at least 60000.'],
    ['too much', { ...good(), maxStalenessMs: 1e9 }, 'maxStalenessMs: must be at most 86400000.'],
    ['another word', { ...good(), teams: 'some' }, 'teams: must be "implicit" or "explicit".'],
    ['null for an option', { ...good(), maxTeams: null }, 'maxTeams: must be a number.'],
    ['no logger', { ...good(), logger: 'pino' }, 'logger: must have the methods info, warn and error.'],
    [
      'no key',
      { ...good(), encryptionKeys: [] },
      'encryptionKeys: must have at least one key. Create one with generateEncryptionKey().',
    ],
    [
      'all at once',
      {
        storage: memoryStorage(),
        encryptionKeys: [{ id: 'k', key: secret }],
        egress: { allow: ['10.0.0.0/8', 'http://'], allowSharde: [], maxConnections: 0 },
        team: 'explicit',
        onCall: true,
      },
      'encryptionKeys[0].key: must be 32 bytes in base64. egress.allow[1]: must be a host, *.suffix, host:port, a CIDR block or CIDR:port, ' +
        'with http:// in front to allow plain HTTP. Received "http://". egress.maxConnections: must be at least 1. ' +
        'onCall: must be a function. Unknown field egress.allowSharde. Did you mean allowShared? Unknown field team. Did you mean teams?',
    ],
  ])('with %s says which option is at fault', async (_, options, message) => {
    const error = await refusal(make(options));
    expect(error.message).toBe(message);
    expect(error.message).not.toContain(secret);
    expect(JSON.stringify(error)).not.toContain(secret);
  });

  it.each<[string, unknown, string]>([
    ['without an id', { key: secret }, 'encryptionKeys[1].id'],
    ['that is null', null, 'encryptionKeys[1].id'],
    ['that is a string', secret, 'encryptionKeys[1].id'],
    ['with an id that is taken', { id: 'k', key: generateEncryptionKey().key }, 'encryptionKeys[1].id'],
    ['with a passphrase', { id: 'x', key: 'correct horse battery staple' }, 'encryptionKeys[1].key'],
  ])('names a key %s, and never what it is', async (_, key, param) => {
    const encryptionKeys = [generateEncryptionKey('k'), key as EncryptionKey];
    const error = await refusal(make({ ...good(), encryptionKeys }));
    expect(error.param).toBe(param);
    expect(error.message).not.toMatch(/horse|BwcH/);
  });
});

describe('a gateway', () => {
  let router: TeamModelRouter;
  beforeAll(() => {
    router = new TeamModelRouter(good());
  });
  afterAll(() => router.close({ drainTimeoutMs: 0 }));
  const make = (options?: unknown) => () => createGateway(router, options as GatewayOptions);
  const key = 'masterKey: is required, because a gateway needs a master key or authenticate.';

  it.each<[string, unknown, string]>([
    ['nothing', undefined, key],
    ['no option', {}, key],
    ['a key instead of options', masterKey, 'options: must be an object.'],
    ['a misspelt key', { masterkey: masterKey }, 'Unknown field masterkey. Did you mean masterKey?'],
    ['a number as key', { masterKey: 5 }, 'masterKey: must be a string.'],
    [
      'a basePath without a slash',
      { masterKey, basePath: 'llm' },
      'basePath: must begin with / and be plain.',
    ],
    [
      'all at once',
      { bodyLimit: '1', openapi: 'yes', authentikate: () => undefined },
      `bodyLimit: must be a number. openapi: must be true or false. ${key} Unknown field authentikate. Did you mean authenticate?`,
    ],
    ['all at once, and no key', { bodyLimit: '1' }, `bodyLimit: must be a number. ${key}`],
  ])('with %s says which option is at fault', async (_, options, message) => {
    expect((await refusal(make(options))).message).toBe(message);
  });

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['the options', { masterKey }],
    ['the class', TeamModelRouter],
  ])('over %s in place of a router says what to pass', async (_, given) => {
    const error = await refusal(() => createGateway(given as TeamModelRouter, { masterKey }));
    expect(error).toMatchObject({
      param: 'router',
      message: 'router: must be a TeamModelRouter, as in createGateway(router, { masterKey }).',
    });
  });

  it('that is invalid is rejected by every server and mount', async () => {
    for (const given of [undefined, {}, router]) {
      for (const mount of [
        () => serveGateway(given as never),
        () => expressGateway(given as never),
        () => fastifyGateway(given as never),
      ]) {
        expect(await refusal(mount)).toMatchObject({
          param: 'gateway',
          message: 'gateway: must be the result of createGateway.',
        });
      }
    }
  });

  it.each<[string, unknown, string]>([
    ['a port in words', { port: 'http' }, 'port: must be a number.'],
    ['a port that does not exist', { port: 65_536 }, 'port: must be at most 65535.'],
    ['a misspelt option', { hostName: '::1' }, 'Unknown field hostName. Did you mean hostname?'],
    ['a port alone', 4000, 'options: must be an object.'],
    ['null', null, 'options: must be an object.'],
  ])('is not served with %s', async (_, options, message) => {
    const gateway = createGateway(router, { masterKey });
    expect((await refusal(() => serveGateway(gateway, options as ServeOptions))).message).toBe(message);
  });

  it.each<[string, (router: TeamModelRouter) => unknown, string]>([
    ['forTeam', (given) => given.forTeam('acme', 'gpt' as never), 'options: must be an object.'],
    [
      'fetchFor',
      (given) => given.fetchFor('acme', { timeOut: 1, maxRetries: '2' } as never),
      'maxRetries: must be a number. Unknown field timeOut. Did you mean timeout?',
    ],
    [
      'listTeams',
      (given) => given.listTeams({ limit: 0, cursr: 'x' } as never),
      'limit: must be a whole number from 1 to 1000. Unknown field cursr. Did you mean cursor?',
    ],
    [
      'listAllKeys',
      (given) => given.listAllKeys({ limit: 1.5 }),
      'limit: must be a whole number from 1 to 1000.',
    ],
    [
      'rotateEncryption',
      (given) => given.rotateEncryption({ signal: {}, onProgress: 1 } as never),
      'signal: must be an AbortSignal. onProgress: must be a function.',
    ],
    [
      'encryptionKeyUsage',
      (given) => given.encryptionKeyUsage({ singal: 1 } as never),
      'Unknown field singal. Did you mean signal?',
    ],
    ['addModel', (given) => given.addModel('acme', undefined as never), 'The body must be a JSON object.'],
    ['createTeam', (given) => given.createTeam('acme' as never), 'The body must be a JSON object.'],
    ['updateKey', (given) => given.updateKey('acme', 'k', [] as never), 'The body must be a JSON object.'],
    [
      'deleteModel',
      (given) => given.deleteModel('acme', 'x', 'jane' as never),
      'options: must be an object.',
    ],
    [
      'blockTeam',
      (given) => given.blockTeam('acme', { user_id: 'jane' } as never),
      'Unknown field user_id. Did you mean userId?',
    ],
    [
      'testModel',
      (given) => given.testModel('acme', { id: 'x' }, { operater: true } as never),
      'Unknown field operater. Did you mean operator?',
    ],
  ])('%s of a router says which argument is at fault', async (_, call, message) => {
    expect((await refusal(() => call(router))).message).toBe(message);
  });
});

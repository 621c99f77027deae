import { pino } from 'pino';
import {
  generateEncryptionKey,
  type Logger,
  memoryStorage,
  type RouterOptions,
  type Storage,
  TeamModelRouter,
} from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  answerAsOpenAI,
  type RecordingProvider,
  recordingProvider,
  sendError,
} from './support/recording-provider.ts';

const key = 'sk-0123456789abcdefcb07';
const messages = [{ role: 'user' as const, content: 'a-prompt-that-nobody-may-read' }];
const words = 'words-that-nobody-foresaw';

let provider: RecordingProvider;
let router: TeamModelRouter;
let written: string;
let failures: number;

/** Real pino: what it writes is kept. */
const logger: Logger = pino(
  { level: 'debug', base: null, timestamp: false },
  { write: (line) => (written += line) },
);

beforeEach(async () => {
  written = '';
  failures = Number.POSITIVE_INFINITY;
  provider = await recordingProvider((request, response) => {
    const { model } = JSON.parse(String(request.body) || '{}') as { model?: string };
    if (model === 'cut')
      response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .write('data: {}\n\n', () => response.destroy());
    else if (Number(model) && failures-- > 0)
      sendError(response, Number(model), `${words} ${JSON.stringify(request.headers)}`);
    else answerAsOpenAI(request, response);
  });
  router = make();
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

function make(options: Partial<RouterOptions> = {}): TeamModelRouter {
  return new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    logger,
    ...options,
  });
}

const add = (model: string, own = router) =>
  own.addModel('acme', {
    model_name: `named ${model}`,
    litellm_params: { model, api_key: key, api_base: provider.url, num_retries: 0 },
  });

const ask = (model: string, own = router, options = {}) =>
  own.chatCompletion('acme', { model: `named ${model}`, messages }, options);

const failing = (model: string, own = router) =>
  ask(model, own).then(
    () => expect.unreachable(model),
    () => {},
  );

/** Lines are handed over once whoever caused them has its answer. */
async function lines(quoted = 'nothing'): Promise<Record<string, unknown>[]> {
  await new Promise(setImmediate);
  const all = written.split('\n').filter(Boolean);
  written = '';
  for (const line of all)
    for (const secret of [key, words, messages[0]?.content ?? '', 'tmr1.'])
      expect(line.replaceAll(quoted, '')).not.toContain(secret);
  return all.map((line) => JSON.parse(line) as Record<string, unknown>);
}

const [debug, info, warn, error] = [20, 30, 40, 50];
const failed = (level: number | undefined, fields: object) => ({
  level,
  msg: 'call failed',
  callId: expect.any(String),
  teamId: 'acme',
  ...fields,
});

describe('the log', () => {
  it('is told nothing of what goes well, or that the caller left', async () => {
    await add('good');
    await ask('good');
    for await (const _ of await router.chatCompletion('acme', {
      model: 'named good',
      messages,
      stream: true,
    }));
    await expect(ask('good', router, { signal: AbortSignal.abort() })).rejects.toThrow('aborted');
    expect(await lines()).toEqual([]);
  });

  it.each([
    ['500', warn, 500, 'failed'],
    ['429', warn, 429, 'rate_limited'],
    ['404', warn, 404, 'rejected'],
    ['400', debug, 400, 'rejected'],
  ])('logs a call that the provider answered with %s', async (model, level, status, reason) => {
    const { model_id: deploymentId } = await add(model);
    await failing(model);
    const told = await lines();
    const attempts = [
      { deploymentId, model: `named ${model}`, status, reason, milliseconds: expect.any(Number) },
    ];
    expect(told.filter(({ msg }) => msg === 'call failed')).toEqual([
      expect.objectContaining(
        failed(level, { status, deploymentId, model: `named ${model}`, provider: 'openai', attempts }),
      ),
    ]);
  });

  it('logs a rejected key, a stream that broke off, and an unknown name', async () => {
    await add('401');
    await add('cut');
    await failing('401');
    const stream = await router.chatCompletion('acme', { model: 'named cut', messages, stream: true });
    await expect(async () => {
      for await (const _ of stream);
    }).rejects.toThrow();
    await failing(key);
    // What the provider says about the key is quoted, and nothing else of it.
    expect(await lines(`"providerMessage":"${words}`)).toEqual([
      expect.objectContaining(failed(warn, { status: 424, code: 'provider_authentication_failed' })),
      expect.objectContaining(failed(warn, { status: 200, code: 'provider_unreachable' })),
      expect.objectContaining(failed(debug, { status: 404, code: 'model_not_found', attempts: [] })),
    ]);
  });

  it('logs a call that succeeded at its second attempt, with the first one', async () => {
    failures = 1;
    await add('500');
    await ask('500', router, { maxRetries: 1 });
    expect(await lines()).toEqual([
      expect.objectContaining({
        level: info,
        msg: 'call succeeded after retry',
        status: 200,
        attempts: [expect.objectContaining({ status: 500 }), expect.objectContaining({ reason: 'ok' })],
      }),
    ]);
  });

  it('is told once when a deployment begins to cool down', async () => {
    const { model_id: deploymentId } = await add('500');
    for (let turn = 0; turn < 5; turn++) await failing('500');
    const cooled = (await lines()).filter(({ msg }) => msg === 'deployment cooling down');
    expect(cooled).toEqual([
      {
        level: warn,
        msg: 'deployment cooling down',
        deploymentId,
        reason: 'failed',
        failures: 3,
        cooldownMs: 5_000,
      },
    ]);
  });

  it('is told once when the storage fails, where, and once when it answers again', async () => {
    const memory = memoryStorage();
    let down = false;
    const driverFault = Object.assign(new TypeError(`${words}\n    at ${key}`), { code: 'ECONNREFUSED' });
    const storage: Storage = {
      ...memory,
      async get(...given) {
        if (down) throw driverFault;
        return memory.get(...given);
      },
    };
    const own = make({ storage });
    down = true;
    for (let turn = 0; turn < 3; turn++) await expect(own.listModels('acme')).rejects.toThrow();
    down = false;
    await own.listModels('acme');
    expect(await lines()).toEqual([
      {
        level: error,
        msg: 'storage failed',
        error: {
          name: 'RouterError',
          code: 'storage_unavailable',
          message: 'The storage could not be reached.',
          cause: {
            name: 'TypeError',
            code: 'ECONNREFUSED',
            at: expect.arrayContaining([expect.stringContaining('log.test.ts')]),
          },
        },
      },
      { level: info, msg: 'storage recovered' },
    ]);
    await own.close();
  });

  it('logs a storage that cannot be watched', async () => {
    const own = make({ storage: { ...memoryStorage(), watch: () => Promise.reject(new Error(words)) } });
    await new Promise(setImmediate);
    expect(await lines()).toEqual([
      { level: warn, msg: 'storage cannot be watched', error: { name: 'Error', at: expect.any(Array) } },
    ]);
    await own.close();
  });

  it('is told loudly of a secret that does not open', async () => {
    const storage = memoryStorage();
    const first = make({ storage });
    const { model_id: deploymentId } = await add('good', first);
    const second = make({ storage });
    await failing('good', second);
    expect(await lines()).toEqual([
      expect.objectContaining(failed(error, { code: 'credential_unreadable', deploymentId })),
    ]);
    await Promise.all([first.close(), second.close()]);
  });

  it('logs where an unexpected error was thrown, without its message', async () => {
    const own = make({
      random: () => {
        throw new RangeError(`${words} ${key}\n    at ${words}`);
      },
    });
    await add('good', own);
    await add('good', own);
    await failing('good', own);
    const told = await lines();
    expect(told).toEqual([
      {
        level: error,
        msg: 'call could not be handled',
        callId: expect.any(String),
        error: { name: 'RangeError', at: expect.arrayContaining([expect.stringContaining('log.test.ts')]) },
      },
      expect.objectContaining(failed(error, { status: 500, code: 'internal_error' })),
    ]);
    expect(told[0]?.callId).toBe(told[1]?.callId);
    await own.close();
  });

  it('logs hooks that throw or reject', async () => {
    const throws = () => {
      throw new Error(words);
    };
    for (const onCall of [throws, () => Promise.reject(new Error(words)), () => Promise.reject(words)]) {
      const own = make({ onCall: onCall as () => void });
      await add('good', own);
      await ask('good', own);
      await new Promise(setImmediate);
      expect(await lines()).toEqual([
        {
          level: warn,
          msg: 'onCall threw',
          error: expect.objectContaining({ name: expect.stringMatching(/Error|string/) }),
        },
      ]);
      await own.close();
    }
  });

  it('is told by a gateway of an authenticate that throws, and of what it cannot handle', async () => {
    const gateway = createGateway(router, {
      logger,
      authenticate: (request) => {
        if (request.headers.has('x-throw')) throw new SyntaxError(words);
        return { teamId: 'acme', keyType: 'default' };
      },
    });
    const get = (headers: Record<string, string>) =>
      gateway.fetch(new Request('http://gateway.test/team/info', { headers }));
    expect((await get({ 'x-throw': '1' })).status).toBe(401);
    router.getTeamInfo = () => Promise.reject(new URIError(words));
    const answer = await get({});
    expect([answer.status, await answer.text()]).toEqual([500, expect.not.stringContaining(words)]);
    expect(await lines()).toEqual([
      { level: warn, msg: 'authenticate threw', error: expect.objectContaining({ name: 'SyntaxError' }) },
      {
        level: error,
        msg: 'request could not be handled',
        requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
        error: expect.objectContaining({ name: 'URIError' }),
      },
    ]);
  });
});

it('a client that leaves is no line of a gateway’s', async () => {
  const { key: teamKey } = await router.createKey('acme');
  const gateway = createGateway(router, { masterKey: 'm'.repeat(32), logger });
  const leaving = new AbortController();
  const asked = gateway.fetch(
    new Request('http://gateway.test/v1/chat/completions', {
      method: 'POST',
      headers: { authorization: `Bearer ${teamKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'good', messages }),
      signal: leaving.signal,
    }),
  );
  leaving.abort();
  await asked;
  expect(await lines()).toEqual([]);
});

describe('a logger', () => {
  const throwing = () => {
    throw new Error('the logger is broken');
  };

  it.each<[string, () => unknown]>([
    ['throws', throwing],
    ['rejects', () => Promise.reject(new Error('the logger is broken'))],
    ['never ends', () => new Promise(() => {})],
  ])('that %s touches no call', async (_, method) => {
    const called = vi.fn(method);
    const own = make({ logger: { debug: called, info: called, warn: called, error: called } });
    await add('500', own);
    await add('good', own);
    const calls = await Promise.all([
      ask('good', own),
      failing('500', own),
      failing('unknown', own),
      ask('good', own),
    ]);
    expect(calls[3]).toMatchObject({ object: 'chat.completion' });
    await new Promise(setImmediate);
    expect(called).toHaveBeenCalledTimes(2);
    await own.close();
  });

  it('logs a call only after its response', async () => {
    const order: string[] = [];
    const note = () => order.push('told');
    const own = make({ logger: { info: note, warn: note, error: note } });
    await add('500', own);
    await failing('500', own).then(() => order.push('answered'));
    await new Promise(setImmediate);
    expect(order).toEqual(['answered', 'told']);
    await own.close();
  });

  it('needs no debug, and may be the console', async () => {
    const own = make({ logger: { ...console, debug: undefined } as never });
    await failing('unknown', own);
    await own.close();
    expect(make({ logger: console })).toBeInstanceOf(TeamModelRouter);
  });

  it.each([null, 'pino', {}, { info() {}, warn() {} }])('is not %j', (given) => {
    const refusal = expect.objectContaining({ code: 'invalid_request', param: 'logger' });
    expect(() => make({ logger: given as never })).toThrow(refusal);
    expect(() => createGateway(router, { masterKey: 'x'.repeat(32), logger: given as never })).toThrow(
      refusal,
    );
  });
});

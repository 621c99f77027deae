import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type OpenAI from 'openai';
import {
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  type RouterOptions,
  TeamModelRouter,
} from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { guardedConnector, type Lookup } from '../../src/egress/connector.ts';
import { compilePolicy } from '../../src/egress/guard.ts';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const messages = [{ role: 'user' as const, content: 'hello' }];

let sibling: RecordingProvider;
/** Takes connections, and never says a word: TLS is not agreed on. */
let silent: Server;
let port: number;
let accepted: Socket[];
/** The look-ups that were not answered. */
let lookedUp: Parameters<Lookup>[2][];
let receipts: Receipt[];
let router: TeamModelRouter;

beforeEach(async () => {
  accepted = [];
  lookedUp = [];
  const kept: Receipt[] = [];
  receipts = kept;
  sibling = await recordingProvider();
  silent = createServer((socket) => {
    accepted.push(socket.on('error', () => {}).resume());
  });
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  port = (silent.address() as AddressInfo).port;
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: {
      allow: [sibling.url, `127.0.0.0/8:${port}`],
      lookup: (_, __, callback) => void lookedUp.push(callback),
      connectTimeoutMs: 150,
    },
    onCall: (receipt) => kept.push(receipt),
  });
  await router.createTeam({
    team_id: 'acme',
    settings: { num_retries: 0, cooldown_time: 60, allowed_fails: 2 },
  });
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await sibling.close();
  for (const socket of accepted) socket.destroy();
  silent.close();
});

async function add(name: string, api_base: string, more: object = {}): Promise<void> {
  const litellm_params = { model: 'openai/x', api_key: 'sk-0123456789abcdef', api_base, ...more };
  await router.addModel('acme', { model_name: name, litellm_params });
}

const ask = (model: string) => router.chatCompletion('acme', { model, messages });

async function failed(call: PromiseLike<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await call;
  } catch (error) {
    return error as InstanceType<typeof OpenAI.APIError>;
  }
  return expect.unreachable('the call was answered');
}

describe.each([
  ['does not agree on TLS', () => `https://127.0.0.1:${port}`],
  ['has a name that is never looked up', () => `https://llm.test:${port}`],
])('a provider that %s', (_, base) => {
  it('is given up after the time to connect, and the sibling answers', async () => {
    await add('m', base(), { order: 1, num_retries: 1 });
    await add('m', sibling.url, { order: 2, num_retries: 1 });
    const { choices } = await ask('m');
    expect(choices[0]?.message.content).toBe('Hello there');
    await new Promise(setImmediate);
    expect(receipts).toMatchObject([
      {
        status: 200,
        attempts: [
          { status: 504, reason: 'provider_timeout' },
          { status: 200, reason: 'ok' },
        ],
      },
    ]);
    expect(receipts[0]?.attempts[0]?.milliseconds).toBeLessThan(5_000);
  });

  it('alone is 504 provider_timeout, a failure that cools it', async () => {
    await add('m', base());
    expect(await failed(ask('m'))).toMatchObject({ status: 504, code: 'provider_timeout' });
    await failed(ask('m'));
    expect((await router.health('acme')).deployments).toMatchObject([
      { state: 'open', failures: 2, lastError: 'provider_timeout' },
    ]);
  });
});

it('the socket of a connection that was given up is closed', async () => {
  await add('m', `https://127.0.0.1:${port}`);
  const call = failed(ask('m'));
  const [socket] = (await once(silent, 'connection')) as [Socket];
  const closed = once(socket, 'close');
  await call;
  await closed;
  expect(accepted).toHaveLength(1);
});

it('opens no connection after a late DNS answer', async () => {
  await add('m', `https://llm.test:${port}`);
  await failed(ask('m'));
  expect(lookedUp).toHaveLength(1);
  for (const callback of lookedUp) callback(null, [{ address: '127.0.0.1', family: 4 }]);
  // Connections are taken in turn: one of the router's would come before this one.
  const own = connect(port, '127.0.0.1');
  const [first] = (await once(silent, 'connection')) as [Socket];
  expect(first.remotePort).toBe(own.localPort);
  own.destroy();
});

it('the time to connect is ten seconds unless the operator says otherwise', () => {
  const timeouts: unknown[] = [];
  const dial = (options: { timeout?: number | null } = {}) => {
    timeouts.push(options.timeout);
    return () => {};
  };
  const destination = { scheme: 'https', host: 'llm.test', port: 443 } as const;
  guardedConnector(destination, { policy: compilePolicy([]), dial });
  guardedConnector(destination, { policy: compilePolicy([]), dial, connectTimeoutMs: 2_000 });
  expect(timeouts).toEqual([10_000, 2_000]);
});

it('the time to connect is a whole number of milliseconds, or the router is not made', () => {
  const options = { storage: memoryStorage(), encryptionKeys: [generateEncryptionKey()] };
  for (const connectTimeoutMs of [0, -1, 0.5, '10', 86_400_001]) {
    const made = () => new TeamModelRouter({ ...options, egress: { connectTimeoutMs } } as RouterOptions);
    expect(made).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'egress.connectTimeoutMs' }),
    );
  }
});

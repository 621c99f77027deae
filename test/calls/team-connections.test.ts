import type { ServerResponse } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import type OpenAI from 'openai';
import {
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  type RouterOptions,
  TeamModelRouter,
} from 'team-model-router';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Cancel } from '../../src/calls/abort/cancel.ts';
import {
  chatChunks,
  chatCompletion,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../support/recording-provider.ts';

const messages = [{ role: 'user' as const, content: 'hello' }];

let provider: RecordingProvider;
/** Answers that the provider keeps back. */
let held: ServerResponse[];
let holds: boolean;
let arrived: () => void;
let receipts: Receipt[];
let router: TeamModelRouter;

beforeEach(async () => {
  held = [];
  holds = true;
  arrived = () => {};
  receipts = [];
  provider = await recordingProvider((request, response) => {
    const { stream } = JSON.parse(String(request.body)) as { stream?: boolean };
    if (!holds) return sendJson(response, 200, chatCompletion('x'));
    held.push(response);
    if (stream) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`data: ${JSON.stringify(chatChunks('x')[0])}\n\n`);
    }
    arrived();
  });
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

async function make(egress: RouterOptions['egress'], params: object = {}): Promise<void> {
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], allowShared: [provider.url], ...egress },
    onCall: (receipt) => receipts.push(receipt),
  });
  const litellm_params = {
    model: 'openai/x',
    api_key: 'sk-0123456789abcdef',
    api_base: provider.url,
    num_retries: 0,
    ...params,
  };
  for (const team of ['acme', 'zenith']) {
    await router.createTeam({ team_id: team, models: ['shared'] });
    await router.addModel(team, { model_name: 'own', litellm_params });
  }
  await router.addSharedModel({ model_name: 'shared', litellm_params });
}

/** Starts a stream and waits until the provider has the request. */
async function open(team: string, model = 'own', signal?: AbortSignal) {
  const count = held.length;
  const reached = new Promise<void>((resolve) => {
    arrived = () => held.length > count && resolve();
  });
  const answer = router.chatCompletion(team, { model, messages, stream: true }, signal ? { signal } : {});
  await reached;
  return answer;
}

const ask = (team: string, model = 'own', options = {}) =>
  router.chatCompletion(team, { model, messages }, options);

/** Until the calls made so far wait for a connection. */
const queued = async () => {
  for (let count = 0; count < 20; count++) await turn();
};

it("one team's open streams leave another team's calls alone, at the same provider", async () => {
  await make({ maxConnectionsPerTeam: 3, maxConnections: 8, maxQueuedPerTeam: 0 });
  for (let count = 0; count < 3; count++) await open('acme');
  await expect(ask('acme')).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
  holds = false;
  await ask('zenith');
  const refused = await ask('acme').catch((error: unknown) => error as InstanceType<typeof OpenAI.APIError>);
  expect(refused).toMatchObject({ status: 429, message: expect.stringContaining('3 calls in flight') });
  expect((refused as InstanceType<typeof OpenAI.APIError>).headers?.get('retry-after')).toBe('1');
});

it('calls to a shared deployment count as the team that calls', async () => {
  await make({ maxConnectionsPerTeam: 2, maxQueuedPerTeam: 0 });
  await open('acme', 'shared');
  await open('acme');
  await expect(ask('acme', 'shared')).rejects.toMatchObject({ status: 429 });
  holds = false;
  await ask('zenith', 'shared');
  expect((await router.health('zenith')).deployments.every(({ state }) => state === 'closed')).toBe(true);
});

it('a call that waited says so in its receipt, apart from what the provider and the router took', async () => {
  await make({ maxConnectionsPerTeam: 1 });
  const stream = await open('acme');
  const waiting = ask('acme');
  await queued();
  holds = false;
  stream.controller.abort();
  await waiting;
  await turn();
  const receipt = receipts.find(({ status, queuedMs }) => status === 200 && queuedMs > 0);
  expect(receipt).toMatchObject({ attempts: [{ reason: 'ok', queuedMs: receipt?.queuedMs }] });
  const { queuedMs = 0, overheadMs = 0, firstByteMs = 0, attempts = [] } = receipt ?? {};
  expect(queuedMs + overheadMs + (attempts[0]?.milliseconds ?? 0)).toBeCloseTo(firstByteMs, 3);
  expect((await router.health('acme')).deployments).toMatchObject([{ state: 'closed', failures: 0 }]);
});

it("a deployment's timeout ran while the call waited for a connection, and cooled a provider that was never asked", () => {
  vi.useFakeTimers();
  try {
    const cancel = new Cancel(undefined);
    const limit = { milliseconds: 50, left: 10_000, callers: false };
    cancel.within(
      () => limit,
      (waiting) => (waiting ? 'the call' : 'the provider'),
    );
    cancel.queued();
    vi.advanceTimersByTime(5_000);
    expect([cancel.aborted, cancel.callers]).toEqual([false, true]);
    cancel.dequeued();
    expect([cancel.queuedMs, cancel.callers]).toEqual([5_000, false]);
    vi.advanceTimersByTime(49);
    expect(cancel.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(cancel.reason).toBe('the provider');
  } finally {
    vi.useRealTimers();
  }
});

it("the call's timeout counts in the queue, and opens no circuit", async () => {
  await make({ maxConnectionsPerTeam: 1 });
  await open('acme');
  await expect(ask('acme', 'own', { timeout: 50 })).rejects.toMatchObject({
    status: 504,
    code: 'provider_timeout',
    message: expect.stringContaining('waited for a connection'),
  });
  expect(provider.requests).toHaveLength(1);
  expect((await router.health('acme')).deployments).toMatchObject([{ state: 'closed', failures: 0 }]);
});

it('a call that waits too long is refused, and its deployment is not blamed', async () => {
  await make({ maxConnectionsPerTeam: 1, queueTimeoutMs: 30 });
  await open('acme');
  await expect(ask('acme')).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
  expect((await router.health('acme')).deployments).toMatchObject([{ state: 'closed', failures: 0 }]);
});

it('when all connections are used, the teams take turns', async () => {
  await make({ maxConnections: 1 });
  await open('acme');
  const order: string[] = [];
  const calls = ['acme', 'acme', 'acme', 'zenith'].map((team) => ask(team).then(() => order.push(team)));
  await queued();
  holds = false;
  held[0]?.end();
  await Promise.all(calls);
  expect(order.indexOf('zenith')).toBeLessThanOrEqual(1);
});

it.each<[string, () => Promise<void>]>([
  ['a stream that its reader leaves', async () => (await open('acme')).controller.abort()],
  [
    'a stream that breaks off',
    async () => {
      const stream = await open('acme');
      held[0]?.destroy();
      await expect(
        (async () => {
          for await (const _ of stream) {
          }
        })(),
      ).rejects.toThrow();
    },
  ],
  [
    'a caller that leaves before the answer',
    async () => {
      const leaving = new AbortController();
      const reached = new Promise<void>((resolve) => {
        arrived = resolve;
      });
      const call = ask('acme', 'own', { signal: leaving.signal });
      await reached;
      leaving.abort();
      await expect(call).rejects.toThrow();
    },
  ],
  [
    'a caller that leaves in the queue',
    async () => {
      const stream = await open('acme');
      const leaving = new AbortController();
      const call = ask('acme', 'own', { signal: leaving.signal });
      await queued();
      leaving.abort();
      await expect(call).rejects.toThrow();
      stream.controller.abort();
    },
  ],
  [
    'an error of the provider',
    async () => {
      const reached = new Promise<void>((resolve) => {
        arrived = resolve;
      });
      const call = ask('acme');
      await reached;
      held[0]?.writeHead(500).end('{}');
      await expect(call).rejects.toThrow();
    },
  ],
  [
    'a timeout',
    async () => {
      await expect(ask('acme', 'own', { timeout: 30 })).rejects.toMatchObject({ status: 504 });
    },
  ],
])('%s gives its connection back', async (_, way) => {
  await make({ maxConnectionsPerTeam: 1, queueTimeoutMs: 5_000 });
  await way();
  holds = false;
  await ask('acme');
});

it('a host that never takes the connection holds no connection longer than its call', async () => {
  await make({ maxConnectionsPerTeam: 1, lookup: () => {} });
  await router.addModel('acme', {
    model_name: 'nowhere',
    litellm_params: {
      model: 'openai/x',
      api_key: 'sk-0123456789abcdef',
      api_base: 'https://llm.test',
      num_retries: 0,
    },
  });
  for (let count = 0; count < 3; count++)
    await expect(ask('acme', 'nowhere', { timeout: 20 })).rejects.toMatchObject({ status: 504 });
  holds = false;
  await ask('acme');
});

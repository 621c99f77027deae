import { describe, expect, it } from 'vitest';
import { attempt } from '../../src/calls/attempts/retry.ts';
import { CallContext, type CallServices } from '../../src/calls/call-context.ts';
import { readRequest } from '../../src/calls/read-request.ts';
import { ReceiptBuilder } from '../../src/calls/receipt/receipt.ts';
import { Reporter } from '../../src/calls/receipt/reporter.ts';
import { CallPolicy } from '../../src/calls/routing/call-policy.ts';
import { CircuitBreaker } from '../../src/calls/routing/circuit-breaker.ts';
import { RateLimiter } from '../../src/calls/routing/rate-limits.ts';
import { ResponseBody } from '../../src/egress/response-body.ts';
import { Log } from '../../src/logger.ts';
import { OpenWork } from '../../src/open-work.ts';
import { Redactor } from '../../src/redact/redactor.ts';
import type { Deployment } from '../../src/teams/records/deployment.ts';

const refusal = JSON.stringify({ error: { message: 'no', type: 'invalid_request_error' } });

const deployment = (id: string) =>
  ({
    id,
    publicName: 'm',
    params: {},
    teamId: 'acme',
    target: { provider: 'openai', base: 'https://provider.example/v1' },
    redactor: () => new Redactor([]),
    masks: [],
  }) as unknown as Deployment;

const limits = { maxBodyBytes: 1_000, maxJsonBytes: 1_000, maxHeldBytes: 1_000 };
const models = { team: undefined, shared: undefined };

interface Story {
  ids?: string[];
  /** What the provider answers to each attempt; the last one again and again. */
  answers: [status: number, headers?: Record<string, string>][];
  retries: number;
  random?: number;
}

/** Which deployments were asked, and the pauses between: time stands still but for them. */
async function played({ ids = ['a'], answers, retries, random = 0 }: Story) {
  const asked: string[] = [];
  const pauses: number[] = [];
  let time = 0;
  const now = () => time;
  const call = {
    method: 'POST',
    path: '/chat/completions',
    query: new URLSearchParams(),
    headers: new Headers(),
    numRetries: retries,
  };
  const settings = { allowed_fails: 1_000, fallbacks: new Map<string, string[]>() };
  const receipt = new ReceiptBuilder('call', 'acme', now);
  const request = await readRequest(call, '{"model":"m","messages":[]}', limits, 'acme');
  const pool = { publicName: 'm', deployments: ids.map(deployment) };
  const services: CallServices = {
    resolver: { visibleModels: async () => models, pool: async () => pool },
    async send({ id }) {
      const [status, headers = {}] = answers[Math.min(asked.length, answers.length - 1)] ?? [500];
      asked.push(id);
      const body = new ResponseBody({ pause() {}, resume() {}, abort() {} });
      body.push(Buffer.from(status < 400 ? '{}' : refusal));
      body.end();
      return { status, headers, body };
    },
    availability: { health: new CircuitBreaker(now), limits: new RateLimiter(now) },
    reporter: new Reporter(undefined, new Log(undefined)),
    work: new OpenWork(),
    maxAnswerBytes: 1_048_576,
    random: () => random,
    now,
    async sleep(milliseconds) {
      pauses.push(milliseconds);
      time += milliseconds;
    },
  };
  const context = new CallContext({
    services,
    caller: { teamId: 'acme' },
    call,
    request,
    policy: new CallPolicy(call, settings, now, 0),
    receipt,
    models,
    release() {},
  });
  await attempt(context, undefined);
  return { asked: asked.join(''), pauses };
}

describe('the pause before an attempt at the same deployment', () => {
  it('doubles up to eight seconds, with full jitter', async () => {
    const answers: Story['answers'] = [[500]];
    expect((await played({ answers, retries: 6, random: 1 })).pauses).toEqual([
      500, 1_000, 2_000, 4_000, 8_000, 8_000,
    ]);
    expect((await played({ answers, retries: 6, random: 0.5 })).pauses).toEqual([
      250, 500, 1_000, 2_000, 4_000, 4_000,
    ]);
    expect((await played({ answers, retries: 2, random: 0 })).pauses).toEqual([0, 0]);
  });

  it.each<[string, Record<string, string>, number]>([
    ['retry-after in seconds', { 'retry-after': '3' }, 3_000],
    ['retry-after-ms', { 'retry-after-ms': '1234' }, 1_234],
    ['both: the finer one counts', { 'retry-after': '9', 'retry-after-ms': '20' }, 20],
    ['an hour: it is clamped to ten seconds', { 'retry-after': '3600' }, 10_000],
    ['an hour in milliseconds: the same', { 'retry-after-ms': '3600000' }, 10_000],
    ['a date far away: the same', { 'retry-after': 'Fri, 31 Dec 9999 23:59:59 GMT' }, 10_000],
    ['a date that has gone by', { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' }, 0],
    ['nonsense', { 'retry-after': 'soon', 'retry-after-ms': '-5' }, 0],
  ])('is at least what the provider asks for: %s', async (_, headers, pause) => {
    for (const status of [429, 503]) {
      expect(await played({ answers: [[status, headers], [200]], retries: 2 })).toEqual({
        asked: 'aa',
        pauses: [pause],
      });
    }
  });

  it('is not made before an attempt at a sibling, whatever the provider asks for', async () => {
    const answers: Story['answers'] = [[429, { 'retry-after': '5' }], [200]];
    expect((await played({ ids: ['a', 'b'], answers, retries: 2 })).pauses).toEqual([]);
  });
});

describe('an answer of the provider', () => {
  it.each([408, 409, 425, 429, 498, 500, 502, 503, 504, 529])(
    '%i is tried again at the same deployment',
    async (status) => {
      expect((await played({ answers: [[status], [200]], retries: 2 })).asked).toBe('aa');
      expect((await played({ answers: [[status]], retries: 2 })).asked).toBe('aaa');
    },
  );

  it.each([401, 402, 403, 404, 405, 418])(
    '%i is tried at each sibling once, and never again at the same',
    async (status) => {
      expect((await played({ answers: [[status]], retries: 9 })).asked).toBe('a');
      const { asked, pauses } = await played({ ids: ['a', 'b', 'c'], answers: [[status]], retries: 9 });
      expect(asked.split('').sort().join('')).toBe('abc');
      expect(pauses).toEqual([]);
    },
  );

  it.each([400, 413, 415, 422])('%i is final', async (status) => {
    expect((await played({ ids: ['a', 'b'], answers: [[status]], retries: 9 })).asked).toHaveLength(1);
  });

  it('goes to siblings first, and then to any again', async () => {
    const { asked, pauses } = await played({ ids: ['a', 'b'], answers: [[500]], retries: 3, random: 0.999 });
    expect(asked.slice(0, 2).split('').sort().join('')).toBe('ab');
    expect(asked).toHaveLength(4);
    expect(pauses).toHaveLength(2);
  });
});

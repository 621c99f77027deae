import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryBudget } from '../../src/memory-budget.ts';
import {
  chatCompletion,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../support/recording-provider.ts';

const megabyte = 1_048_576;
const share = 4 * megabyte;

let provider: RecordingProvider;
let router: TeamModelRouter;
/** Answers the calls that wait at the provider. */
let waiting: (() => void)[];

beforeEach(async () => {
  waiting = [];
  provider = await recordingProvider((_request, response) => {
    waiting.push(() => {
      if (!response.headersSent) sendJson(response, 200, chatCompletion('whole'));
    });
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    maxTeamBytesInFlight: share,
    maxBytesInFlight: 6 * megabyte,
  });
  const litellm_params = { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  for (const team of ['acme', 'globex']) await router.addModel(team, { model_name: 'm', litellm_params });
});
afterEach(async () => {
  for (const answer of waiting) answer();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const text = (bytes: number) =>
  JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x'.repeat(bytes) }] });

async function* pieces(whole: string): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < whole.length; at += 65_536) yield Buffer.from(whole.slice(at, at + 65_536));
}

const kinds: Record<string, (bytes: number) => object> = {
  text: (bytes) => ({ body: text(bytes) }),
  bytes: (bytes) => ({ body: Buffer.from(text(bytes)) }),
  'a blob': (bytes) => ({ body: new Blob([text(bytes)]) }),
  'an async iterable': (bytes) => ({ body: pieces(text(bytes)), duplex: 'half' }),
};

async function call(
  team: string,
  init: object,
): Promise<{ status: number; code: string | undefined; retryAfter: string | null }> {
  const headers = { 'content-type': 'application/json' };
  const response = await router.fetchFor(team)('/v1/chat/completions', { method: 'POST', headers, ...init });
  const { error } = (await response.json()) as { error?: { code: string } };
  return { status: response.status, code: error?.code, retryAfter: response.headers.get('retry-after') };
}

describe.each(Object.keys(kinds))('a body of %s, in-process', (kind) => {
  const body = (bytes: number) => kinds[kind]?.(bytes) ?? {};

  it('counts until its call has ended: its team is over its share alone, and all teams together over theirs', async () => {
    const first = call('acme', body(1.5 * megabyte));
    await expect.poll(() => waiting.length).toBe(1);
    const refused = { status: 429, code: 'rate_limit_exceeded', retryAfter: '1' };
    expect(await call('acme', body(2.9 * megabyte))).toEqual(refused);
    const other = call('globex', body(1.5 * megabyte));
    await expect.poll(() => waiting.length).toBe(2);
    const third = call('acme', body(1.5 * megabyte));
    await expect.poll(() => waiting.length).toBe(3);
    const overloaded = { status: 503, code: 'overloaded', retryAfter: '1' };
    expect(await call('globex', body(2 * megabyte))).toEqual(overloaded);
    for (const answer of waiting) answer();
    expect((await third).status).toBe(200);
    expect([(await first).status, (await other).status]).toEqual([200, 200]);
    const last = call('acme', body(1.5 * megabyte));
    await expect.poll(() => waiting.length).toBe(4);
    for (const answer of waiting) answer();
    expect((await last).status).toBe(200);
  });

  it('larger than its team’s whole share is too large, whatever else is in flight', async () => {
    expect(await call('acme', body(share))).toMatchObject({ status: 413, code: 'request_too_large' });
  });
});

describe('a reservation', () => {
  const budget = new MemoryBudget({ maxBytesInFlight: 100, maxTeamBytesInFlight: 60 });

  it('announces against the team’s share alone, so that an announcement keeps no other team out', () => {
    const teams = ['a', 'b', 'c'].map((team) => budget.open(team));
    for (const reservation of teams) reservation.announce(60);
    expect(budget.bytes).toBe(0);
    const [first, second, third] = teams;
    expect(() => first?.announce(1)).toThrow(expect.objectContaining({ code: 'rate_limit_exceeded' }));
    first?.hold(60);
    second?.hold(40);
    expect(() => third?.hold(1)).toThrow(expect.objectContaining({ code: 'overloaded' }));
    first?.release();
    third?.hold(60);
    for (const reservation of teams) reservation.release();
    expect(budget.bytes).toBe(0);
  });

  it('takes what there is room for, and is released once, by whatever order', () => {
    const reservation = budget.open(null);
    expect(reservation.take(80)).toBe(60);
    expect(reservation.take(1)).toBe(0);
    reservation.give(20);
    expect(reservation.take(80)).toBe(20);
    reservation.release();
    reservation.release();
    reservation.give(5);
    reservation.hold(1_000);
    expect(budget.bytes).toBe(0);
    const next = budget.open(null);
    expect(next.take(80)).toBe(60);
    next.release();
    expect(budget.bytes).toBe(0);
  });
});

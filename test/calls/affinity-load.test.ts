import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { memoryStorage, type Storage, TeamModelRouter } from 'team-model-router';
import { describe, expect, it, vi } from 'vitest';
import { AffinityStore, type DroppedRecords } from '../../src/calls/affinity/affinity-store.ts';
import { recordingProvider, sendJson } from '../support/recording-provider.ts';

const ttl = { affinityTtlMs: 60_000 };

/** A storage whose operations on records of affinity wait until `open`, and are counted. */
function gatedStorage() {
  const inner = memoryStorage();
  let open: () => void = () => {};
  let gate: Promise<void> | undefined;
  const running = new Map<string, number>();
  const seen = { puts: [] as string[], gets: 0, most: new Map<string, number>() };
  const gated = async <Result>(key: string, act: () => Promise<Result>): Promise<Result> => {
    const team = key.split('/')[1] ?? '';
    const now = (running.get(team) ?? 0) + 1;
    running.set(team, now);
    seen.most.set(team, Math.max(now, seen.most.get(team) ?? 0));
    await gate;
    await nextTurn();
    running.set(team, (running.get(team) ?? 0) - 1);
    return act();
  };
  const storage: Storage = {
    ...inner,
    get(key, options) {
      if (!key.startsWith('affinity/')) return inner.get(key, options);
      seen.gets += 1;
      return gated(key, () => inner.get(key, options));
    },
    put(key, ...rest) {
      if (!key.startsWith('affinity/')) return inner.put(key, ...rest);
      seen.puts.push(key);
      return gated(key, () => inner.put(key, ...rest));
    },
  };
  return {
    storage,
    ...seen,
    counts: seen,
    async idle() {
      await vi.waitFor(() => expect([...running.values()].every((count) => count === 0)).toBe(true), 60_000);
    },
    hold() {
      gate = new Promise((resolve) => {
        open = resolve;
      });
    },
    open() {
      gate = undefined;
      open();
    },
  };
}

const objects = (count: number, prefix = 'file') =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

/** Ids of objects that one page of a team holds, as the provider of that team could choose them. */
function ofOnePage(team: string, count: number): string[] {
  const found: string[] = [];
  for (let index = 0; found.length < count; index++) {
    const hash = createHash('sha256').update(JSON.stringify([team, `file-${index}`]));
    if (hash.digest().readUInt32BE(0) % 2048 === 7) found.push(`file-${index}`);
  }
  return found;
}

describe('writes of affinity', () => {
  it('one for all ids of an answer that fall on one page', async () => {
    const gated = gatedStorage();
    const affinity = new AffinityStore(gated.storage, ttl);
    await affinity.remember('acme', ofOnePage('acme', 16), 'a');
    expect(gated.counts.puts).toHaveLength(1);
    const elsewhere = new AffinityStore(gated.storage, ttl);
    for (const id of ofOnePage('acme', 16)) expect(await elsewhere.lookup('acme', [id])).toBe('a');
  });

  it('one that runs and one that waits for each page, however many answers name its objects', async () => {
    const gated = gatedStorage();
    const affinity = new AffinityStore(gated.storage, ttl);
    gated.hold();
    const ids = ofOnePage('acme', 48);
    const answers = Array.from({ length: 960 }, (_, index) =>
      affinity.remember('acme', [ids[index % 48] ?? ''], 'a'),
    );
    await nextTurn();
    expect(gated.counts.puts).toHaveLength(1);
    gated.open();
    await Promise.all(answers);
    expect(gated.counts.puts).toHaveLength(2);
    const elsewhere = new AffinityStore(gated.storage, ttl);
    for (const id of ids) expect(await elsewhere.lookup('acme', [id])).toBe('a');
  });

  it('of one team run eight at a time, and hold up no other team', async () => {
    const gated = gatedStorage();
    const affinity = new AffinityStore(gated.storage, ttl);
    gated.hold();
    const flood = objects(1_500).map((id) => affinity.remember('acme', [id], 'a'));
    const other = affinity.remember('other', ['resp_1'], 'b');
    await nextTurn();
    expect(gated.counts.puts.filter((key) => key.startsWith('affinity/acme/'))).toHaveLength(8);
    expect(gated.counts.puts.filter((key) => key.startsWith('affinity/other/'))).toHaveLength(1);
    gated.open();
    await Promise.all([...flood, other]);
    await gated.idle();
    expect(gated.counts.most.get('acme')).toBe(8);
    expect(gated.counts.puts.length).toBeGreaterThan(500);
  });

  it('are dropped beyond a number per team, and that is reported once', async () => {
    const gated = gatedStorage();
    const dropped: DroppedRecords[] = [];
    const affinity = new AffinityStore(gated.storage, { ...ttl, onDropped: (each) => dropped.push(each) });
    gated.hold();
    const flood = objects(20_000).map((id) => affinity.remember('acme', [id], 'a'));
    expect(dropped).toEqual([{ teamId: 'acme', records: 1 }]);
    // An answer whose record was dropped does not wait.
    await flood.at(-1);
    expect(await affinity.lookup('acme', ['file-19999'])).toBe('a');
    const other = affinity.remember('other', ['resp_1'], 'b');
    gated.open();
    await other;
    await gated.idle();
    expect(gated.counts.puts.length).toBeLessThanOrEqual(2_049);
    // What one team wanted to write is no longer counted.
    await affinity.remember('acme', objects(16, 'later'), 'a');
    const elsewhere = new AffinityStore(gated.storage, ttl);
    expect(await elsewhere.lookup('acme', ['later-15'])).toBe('a');
    expect(await elsewhere.lookup('other', ['resp_1'])).toBe('b');
  });

  it('that were dropped are queued again when their object is used', async () => {
    const gated = gatedStorage();
    const affinity = new AffinityStore(gated.storage, ttl);
    gated.hold();
    const flood = objects(2_048).map((id) => affinity.remember('acme', [id], 'a'));
    const late = objects(20, 'late');
    for (const id of late) await affinity.remember('acme', [id], 'a');
    gated.open();
    await Promise.all(flood);
    await gated.idle();
    const stored = async () => {
      const elsewhere = new AffinityStore(gated.storage, ttl);
      const found = await Promise.all(late.map((id) => elsewhere.lookup('acme', [id])));
      return found.filter((deployment) => deployment === 'a').length;
    };
    // Some were written with other records of their pages.
    expect(await stored()).toBeLessThan(20);
    expect(await affinity.lookup('acme', [late[0] ?? ''])).toBe('a');
    await affinity.remember('acme', late.slice(1), 'a');
    await gated.idle();
    expect(await stored()).toBe(20);
    // What is stored is not written again.
    const puts = gated.counts.puts.length;
    await affinity.remember('acme', late, 'a');
    expect(gated.counts.puts).toHaveLength(puts);
  });

  it('that failed are queued again when their object is used', async () => {
    const inner = memoryStorage();
    let failing = true;
    const put: Storage['put'] = (...given) =>
      failing ? Promise.reject(new Error('The storage is down.')) : inner.put(...given);
    const affinity = new AffinityStore({ ...inner, put }, ttl);
    await affinity.remember('acme', ['file-1'], 'a');
    failing = false;
    await affinity.remember('acme', ['file-1'], 'a');
    expect(await new AffinityStore(inner, ttl).lookup('acme', ['file-1'])).toBe('a');
  });
});

describe('lookups of affinity', () => {
  it('of one team run sixteen at a time, and hold up no other team', async () => {
    const gated = gatedStorage();
    const affinity = new AffinityStore(gated.storage, ttl);
    gated.hold();
    const flood = objects(500).map((id) => affinity.lookup('acme', [id, `${id}-too`]));
    const other = affinity.lookup('other', ['resp_1']);
    await nextTurn();
    expect(gated.counts.gets).toBe(17);
    gated.open();
    expect(await Promise.all([...flood, other])).toEqual(new Array(501).fill(undefined));
    expect(gated.counts.most.get('acme')).toBe(16);
  });

  it('are refused beyond a number that wait', async () => {
    const gated = gatedStorage();
    const affinity = new AffinityStore(gated.storage, ttl);
    gated.hold();
    const flood = objects(5_000).map(async (id) => affinity.lookup('acme', [id]));
    const refused = flood.at(-1)?.catch((error) => error);
    expect(await refused).toMatchObject({ code: 'rate_limit_exceeded', retryAfter: 1 });
    gated.open();
    const ends = await Promise.allSettled(flood);
    expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(16 + 4_096);
  });
});

describe('a lookup whose caller aborts', () => {
  it('ends while it waits for a slot, and gives its place to the next one', async () => {
    const gated = gatedStorage();
    const affinity = new AffinityStore(gated.storage, ttl);
    gated.hold();
    const controller = new AbortController();
    setMaxListeners(0, controller.signal);
    const flood = objects(2_000).map((id) => affinity.lookup('acme', [id], controller.signal));
    const ends = Promise.allSettled(flood);
    const reason = new Error('The caller left.');
    controller.abort(reason);
    await expect(flood[100]).rejects.toBe(reason);
    const next = affinity.lookup('acme', ['resp_1']);
    gated.open();
    expect(await next).toBeUndefined();
    await ends;
    expect(gated.counts.gets).toBe(17);
  });
});

describe('the objects that an answer names', () => {
  const many = objects(1_000);
  const answers: [string, string, unknown, number][] = [
    ['a list where OpenAI has a string', 'batches/batch_1', { id: 'batch_1', output_file_id: many }, 0],
    ['an object where OpenAI has a string', 'batches/batch_1', { output_file_id: { id: 'file-1' } }, 0],
    ['two files of a batch', 'batches/batch_1', { output_file_id: 'file-1', error_file_id: 'file-2' }, 2],
    ['a long list of result files', 'fine_tuning/jobs/job_1', { id: 'job_1', result_files: many }, 16],
  ];
  it.each(answers)('%s', async (_, path, answer, writes) => {
    const provider = await recordingProvider((_request, response) => sendJson(response, 200, answer));
    const storage = memoryStorage();
    const put = vi.spyOn(storage, 'put');
    const router = new TeamModelRouter({
      storage,
      encryptionKeys: [{ id: 'k', key: Buffer.alloc(32, 1).toString('base64') }],
      egress: { allow: [provider.url] },
    });
    for (const account of ['one', 'two'])
      await router.addModel('acme', {
        model_name: 'm',
        litellm_params: { model: 'openai/m', api_key: `sk-${account}-0123456789`, api_base: provider.url },
      });
    const response = await router.fetchFor('acme', { defaultModel: 'm' })(`/v1/${path}`);
    expect(await response.json()).toEqual(answer);
    const pages = put.mock.calls.filter(([key]) => key.startsWith('affinity/'));
    expect(pages).toHaveLength(writes);
    await router.close();
    await provider.close();
  });
});

/**
 * What the router adds to a call, in-process: chatCompletion beside the plain openai client over its default fetch, and
 * over the same lean fetch; the same upstream, in the same run, in turns. And resolve and admit alone, without a
 * network. Fails if a goal is missed.
 */
import { fork } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { collect } from '../src/calls/answer.ts';
import { resolve } from '../src/calls/routing/resolve.ts';
import { LeanResponse } from '../src/client/web-response.ts';
import { compilePolicy } from '../src/egress/guard.ts';
import { Transport } from '../src/egress/transport.ts';
import { KeyRing } from '../src/secrets/keyring.ts';
import { insertDeployment, makeDeployment } from '../src/teams/management/edit-model.ts';
import { SnapshotCache } from '../src/teams/records/snapshot-cache.ts';
import { encode, newRecord, recordKey } from '../src/teams/records/team-record.ts';

const rounds = 30;
const callsPerRound = 300;
const messages = [{ role: 'user' as const, content: "What's the weather like in Boston today?" }];

const upstream = fork(fileURLToPath(new URL('upstream.js', import.meta.url)));
const port = await new Promise<number>((resolved) =>
  upstream.once('message', (message) => resolved(message as number)),
);
const url = `http://127.0.0.1:${port}`;

const router = new TeamModelRouter({
  storage: memoryStorage(),
  encryptionKeys: [generateEncryptionKey()],
  egress: { allow: [url] },
});
const params = { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', api_base: url };
await router.addModel('acme', { model_name: 'my-team-model', litellm_params: params });

const plain = new OpenAI({ apiKey: params.api_key, baseURL: `${url}/v1`, maxRetries: 0 });
const lean = new OpenAI({ apiKey: params.api_key, baseURL: `${url}/v1`, maxRetries: 0, fetch: leanFetch() });

const contenders = {
  router: () => router.chatCompletion('acme', { model: 'my-team-model', messages }),
  'openai client, its default fetch': () => plain.chat.completions.create({ model: 'gpt-4o', messages }),
  'openai client, the same lean fetch': () => lean.chat.completions.create({ model: 'gpt-4o', messages }),
};

const results = await race(contenders);
const resolveMicroseconds = await measureResolve(10_000, 10);
await router.close();
upstream.disconnect();

const of = (name: keyof typeof contenders) => results[name] ?? Number.NaN;
const extra = of('router') - of('openai client, the same lean fetch');
console.log(
  `${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${cpus()[0]?.model}, ${cpus().length} cores`,
);
console.log('sequential calls, median of rounds, microseconds a call:');
for (const [name, microseconds] of Object.entries(results)) {
  console.log(
    `  ${name.padEnd(36)} ${microseconds.toFixed(1).padStart(7)}   ${(microseconds / of('router')).toFixed(2)} x`,
  );
}
console.log(`  router less the client over the same lean fetch: ${extra.toFixed(1)} us a call`);
console.log(
  `resolve and admit, 10 000 teams x 10 models: ${resolveMicroseconds.toFixed(2)} us at the median`,
);

const goals = {
  'faster than the openai client over its default fetch':
    of('router') < of('openai client, its default fetch'),
  'at most 10 us more a call than the client over the same lean fetch': extra <= 10,
  'resolve and admit under 5 us': resolveMicroseconds < 5,
};
for (const [goal, met] of Object.entries(goals)) console.log(`${met ? 'met   ' : 'MISSED'} ${goal}`);
process.exitCode = Object.values(goals).every(Boolean) ? 0 : 1;

/** Median microseconds a call of each contender; they take turns, so that a slow moment of the machine hits all. */
async function race(entries: Record<string, () => PromiseLike<unknown>>): Promise<Record<string, number>> {
  const names = Object.keys(entries);
  const times = new Map(names.map((name) => [name, [] as number[]]));
  for (let round = -3; round < rounds; round++) {
    // In another order each time: who comes after a garbage collection is luck.
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(turn + round + names.length * 10) % names.length] ?? '';
      const start = performance.now();
      for (let call = 0; call < callsPerRound; call++) await entries[name]?.();
      if (round >= 0) times.get(name)?.push(((performance.now() - start) * 1000) / callsPerRound);
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(times.get(name) ?? [])]));
}

/** The transport and the response that the router uses, with nothing between them. */
function leanFetch(): typeof fetch {
  const transport = new Transport({ policy: compilePolicy([url]) });
  return async (input, init) => {
    const response = await transport.request({
      method: init?.method ?? 'GET',
      url: String(input),
      headers: Object.fromEntries(init?.headers as Headers),
      body: init?.body as string,
      signal: init?.signal as AbortSignal,
      headersTimeoutMs: 600_000,
      bodyTimeoutMs: 120_000,
    });
    const headers = response.headers as Record<string, string>;
    const body = await collect(response.body);
    return new LeanResponse({ status: response.status, headers, body }) as unknown as Response;
  };
}

/** From (team, name) to the deployments, out of memory. */
async function measureResolve(teams: number, models: number): Promise<number> {
  const storage = memoryStorage();
  const ring = new KeyRing([generateEncryptionKey()]);
  const stamp = { at: new Date().toISOString(), by: 'bench' };
  for (let team = 0; team < teams; team++) {
    const record = newRecord(`team-${team}`, stamp.at, stamp.by);
    for (let model = 0; model < models; model++) {
      const content = { params, info: undefined };
      insertDeployment(record, `model-${model}`, makeDeployment(ring, record.team_id, content, stamp));
    }
    await storage.put(recordKey(record.team_id), encode(record), null);
  }
  const options = {
    maxStalenessMs: 3_600_000,
    serveStaleMs: 3_600_000,
    maxTeams: teams + 1,
    now: () => performance.now(),
  };
  const snapshots = new SnapshotCache(storage, ring, options);
  for (let team = 0; team < teams; team++) await snapshots.get(`team-${team}`);
  await snapshots.get(null);

  const samples: number[] = [];
  for (let sample = 0; sample < 20_000; sample++) {
    const teamId = `team-${(sample * 7919) % teams}`;
    const start = process.hrtime.bigint();
    const team = snapshots.get(teamId);
    const shared = snapshots.get(null);
    if (team instanceof Promise || shared instanceof Promise || team?.blocked)
      throw new Error('not in memory');
    resolve({ team, shared }, { teamId }, `model-${sample % models}`);
    samples.push(Number(process.hrtime.bigint() - start) / 1000);
  }
  return median(samples);
}

function median(values: number[]): number {
  return values.sort((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/**
 * What a call costs with these sources and with an older commit's, in one run: CPU of the process under test, in turns, over
 * several fresh pairs of processes, since one process differs from the next of the same code. Fails above 3 % at the median.
 *
 * npm run bench:compare -- <commit> [--pairs <number>]
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { buildBefore } from './before.ts';
import type { Usage } from './http-child.ts';
import { bodies, script, startUpstream } from './http-contenders.ts';
import { load, quantile } from './http-load.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { pairs: { type: 'string', default: '6' } },
});
const commit = positionals[0] ?? 'HEAD~1';
const pairs = Number(values.pairs);
const rounds = 8;
/** Before them: until the compiler has seen a call some thousand times, code costs by its length. */
const warmUps = 6;
/**
 * Megabytes below which the heap is not marked. Long bodies lie outside of the heap and count towards that: a process whose heap
 * has been marked once marks it again every 40 such calls, which costs more than the call, and chance decides which process it is.
 */
const execArgv = ['--initial-heap-size=400'];
const maxRatio = 1.03;

/** Microseconds of CPU a call. */
type Measure = () => Promise<number>;
interface Contender {
  children: ChildProcess[];
  measures: Record<string, Measure>;
}

const before = buildBefore(commit, ['http-gateway', 'compare-calls'], ['http-child']);
const upstream = await startUpstream();
/** Of each pair, by scenario: now less before. */
const ratios = new Map<string, number[]>();
for (let pair = 0; pair < pairs; pair++) {
  const old = await start(before.script);
  const now = await start(script);
  for (const scenario of Object.keys(now.measures)) {
    const samples: { old: number[]; now: number[] } = { old: [], now: [] };
    for (let round = -warmUps; round < rounds; round++) {
      for (const side of (round + pair) % 2 === 0 ? (['old', 'now'] as const) : (['now', 'old'] as const)) {
        const cost = await (side === 'old' ? old : now).measures[scenario]?.();
        if (round >= 0 && cost !== undefined) samples[side].push(cost);
      }
    }
    const ratio = quantile(samples.now, 0.5) / quantile(samples.old, 0.5);
    ratios.set(scenario, [...(ratios.get(scenario) ?? []), ratio]);
  }
  for (const child of [...old.children, ...now.children]) child.disconnect();
}
upstream.child.disconnect();
before.remove();

const day = new Date().toISOString().slice(0, 10);
console.log(`${day}, Node ${process.version}, ${cpus()[0]?.model}, ${cpus().length} cores`);
console.log(
  `CPU of a call, times that of ${commit}: median of ${pairs} pairs of processes, and least to most\n`,
);
for (const [scenario, found] of ratios) {
  const median = quantile(found, 0.5);
  const bounds = `${Math.min(...found).toFixed(2)} to ${Math.max(...found).toFixed(2)}`;
  console.log(
    `${median <= maxRatio ? 'met   ' : 'MISSED'} ${scenario.padEnd(28)} ${median.toFixed(3)} (${bounds})`,
  );
  if (median > maxRatio) process.exitCode = 1;
}

async function start(scriptOf: (name: string) => string): Promise<Contender> {
  const gateway = fork(scriptOf('http-gateway'), [upstream.url], { execArgv });
  const [{ key }] = (await once(gateway, 'message')) as [{ key: string }];
  const [port] = (await once(gateway, 'message')) as [number];
  const target = { port, headers: { authorization: `Bearer ${key}` } };
  const calls = fork(scriptOf('compare-calls'), [upstream.url], { execArgv });
  await once(calls, 'message');
  const used = async () => {
    const answer = once(gateway, 'message');
    gateway.send('usage');
    return ((await answer) as [Usage])[0].cpuSeconds;
  };
  const http = (body: string, connections: number, count: number) => async () => {
    const start = await used();
    await load(target, body, connections, count);
    return (((await used()) - start) * 1e6) / count;
  };
  const inProcess = async () => {
    const answer = once(calls, 'message');
    calls.send(1500);
    return ((await answer) as [number])[0];
  };
  return {
    children: [gateway, calls],
    measures: {
      'chatCompletion, in-process': inProcess,
      'gateway, 1 connection': http(bodies.plain, 1, 1500),
      'gateway, 16 connections': http(bodies.plain, 16, 4000),
      'gateway, 64 connections': http(bodies.plain, 64, 4000),
      'gateway, 200 KB bodies': http(bodies.long, 4, 400),
      'gateway, streams': http(bodies.stream, 16, 400),
    },
  };
}

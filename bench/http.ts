/**
 * The gateway beside a bare node:http + undici.request pass-through and @portkey-ai/gateway, in turns, on loopback, in
 * one run. What counts is the CPU time of the process under test. Fails if a goal is missed.
 *
 * argv: `--without-portkey` leaves out what has to be installed first.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Usage } from './http-child.ts';
import {
  bodies,
  type Contender as Started,
  script,
  startGateway,
  startPassThrough,
  startUpstream,
} from './http-contenders.ts';
import { load, quantile, type Sample } from './http-load.ts';
import { freePort, installPortkey, startPortkey } from './http-portkey.ts';

const rounds = 15;

interface Contender extends Started {
  /** What part of the calls it makes: slow ones get fewer, so that the run ends. */
  share: number;
}

interface Scenario {
  name: string;
  body: string;
  connections: number;
  count: number;
}

const { plain, long, stream, paced } = bodies;
const scenarios: Scenario[] = [
  { name: 'plain, 1 connection', body: plain, connections: 1, count: 2000 },
  { name: 'plain, 16 connections', body: plain, connections: 16, count: 6000 },
  { name: 'plain, 64 connections', body: plain, connections: 64, count: 6000 },
  { name: '200 KB bodies, 4 connections', body: long, connections: 4, count: 800 },
  { name: 'streams, 16 connections', body: stream, connections: 16, count: 800 },
  { name: 'paced streams, 16 connections', body: paced, connections: 16, count: 64 },
];

const upstream = await startUpstream();
const contenders = await startAll(upstream.url);

interface Result extends Sample {
  /** CPU seconds of the process under test for 1 000 calls. */
  cpu: number;
  residentMiB: number;
}
const results = new Map<string, Result[]>();

for (const scenario of scenarios) {
  for (let round = -1; round < rounds; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const contender = contenders[(turn + round + contenders.length) % contenders.length];
      if (contender === undefined) continue;
      const result = await measure(contender, scenario);
      // The first round warms up.
      if (round < 0) continue;
      const key = `${scenario.name}/${contender.name}`;
      results.set(key, [...(results.get(key) ?? []), result]);
    }
  }
}
for (const { child } of contenders) child.disconnect();
upstream.child.disconnect();
report();

async function startAll(upstreamUrl: string): Promise<Contender[]> {
  const started: Contender[] = [
    { ...(await startPassThrough(upstreamUrl)), share: 1 },
    { ...(await startGateway(upstreamUrl)), share: 1 },
  ];
  if (process.argv.includes('--without-portkey')) return started;
  const server = installPortkey(fileURLToPath(new URL('../.tmp/portkey', import.meta.url)));
  const port = await freePort();
  const child = startPortkey(server, port, script('http-preload'));
  await once(child, 'message');
  await listening(port);
  const headers = {
    authorization: 'Bearer sk-0123456789abcdef',
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `${upstreamUrl}/v1`,
  };
  started.push({ name: 'portkey', child, target: { port, headers }, share: 0.2 });
  return started;
}

/** It tells its port before it listens. */
async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const open = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    );
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('portkey did not start');
}

async function usage(child: ChildProcess): Promise<Usage> {
  const answered = once(child, 'message');
  child.send('usage');
  const [used] = (await answered) as [Usage];
  return used;
}

async function measure({ child, target, share }: Contender, scenario: Scenario): Promise<Result> {
  const { body, connections } = scenario;
  const count = Math.max(connections, Math.round(scenario.count * share));
  const before = await usage(child);
  const sample = await load(target, body, connections, count);
  const after = await usage(child);
  const cpu = ((after.cpuSeconds - before.cpuSeconds) / count) * 1000;
  return { ...sample, cpu, residentMiB: after.residentBytes / 1_048_576 };
}

function median(scenario: string, contender: string, field: keyof Result): number {
  const measured = results.get(`${scenario}/${contender}`) ?? [];
  return quantile(
    measured.map((result) => result[field]),
    0.5,
  );
}

/** The median of what each round gives, whose turns lie close together: a slow moment of the machine hits both. */
function ratio(scenario: string, own: string, other: string, field: keyof Result = 'cpu'): number {
  const others = results.get(`${scenario}/${other}`) ?? [];
  const ratios = (results.get(`${scenario}/${own}`) ?? []).map(
    (result, round) => result[field] / (others[round]?.[field] ?? Number.NaN),
  );
  return quantile(ratios, 0.5);
}

function report(): void {
  const day = new Date().toISOString().slice(0, 10);
  console.log(
    `${day}, Node ${process.version}, ${cpus()[0]?.model}, ${cpus().length} cores; medians of ${rounds} rounds`,
  );
  const columns = ['requests/s', 'p50 ms', 'p99 ms', 'first byte ms', 'CPU s/1000', 'x pass-through', 'MiB'];
  for (const { name } of scenarios) {
    console.log(`\n${name.padEnd(32)}${columns.map((column) => column.padStart(15)).join('')}`);
    for (const contender of contenders) {
      const of = (field: keyof Result) => median(name, contender.name, field);
      const cells = [
        of('requestsPerSecond').toFixed(0),
        of('p50').toFixed(2),
        of('p99').toFixed(2),
        of('firstByte').toFixed(2),
        of('cpu').toFixed(3),
        ratio(name, contender.name, 'pass-through').toFixed(2),
        of('residentMiB').toFixed(0),
      ];
      console.log(`${contender.name.padEnd(32)}${cells.map((cell) => cell.padStart(15)).join('')}`);
    }
  }
  const gateway = (scenario: string, other: string, field: keyof Result = 'cpu') =>
    ratio(scenario, 'gateway', other, field);
  const later =
    median('paced streams, 16 connections', 'gateway', 'firstByte') -
    median('paced streams, 16 connections', 'pass-through', 'firstByte');
  const goals: [string, boolean][] = [
    [
      'plain, 16: at most 1.5 times the pass-through',
      gateway('plain, 16 connections', 'pass-through') <= 1.5,
    ],
    [
      'plain, 64: at most 1.5 times the pass-through',
      gateway('plain, 64 connections', 'pass-through') <= 1.5,
    ],
    [
      'streams: at most 1.3 times the pass-through',
      gateway('streams, 16 connections', 'pass-through') <= 1.3,
    ],
    ['paced streams: at most 1.3 times', gateway('paced streams, 16 connections', 'pass-through') <= 1.3],
    ['first byte of a paced stream: at most 1 ms later', later <= 1],
    [
      'resident memory: at most 1.4 times the pass-through',
      gateway('paced streams, 16 connections', 'pass-through', 'residentMiB') <= 1.4,
    ],
  ];
  if (contenders.some(({ name }) => name === 'portkey')) {
    goals.push(['plain, 16: a tenth of portkey', gateway('plain, 16 connections', 'portkey') <= 0.1]);
    goals.push(['plain, 64: a tenth of portkey', gateway('plain, 64 connections', 'portkey') <= 0.1]);
  }
  console.log('');
  for (const [goal, met] of goals) console.log(`${met ? 'met   ' : 'MISSED'} ${goal}`);
  process.exitCode = goals.every(([, met]) => met) ? 0 : 1;
}

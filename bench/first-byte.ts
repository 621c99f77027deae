/**
 * How much later the first byte of a paced stream comes through the gateway than through the bare pass-through, on
 * loopback: if 16 streams begin at once, and if they begin apart. One process differs from the next of the same code by
 * a millisecond and more, so pairs of them are started anew. Fails if the goal is missed: 1 ms at most, if they begin at once.
 */
import { cpus } from 'node:os';
import { bodies, type Contender, startGateway, startPassThrough, startUpstream } from './http-contenders.ts';
import { load, quantile } from './http-load.ts';

const pairs = 8;
const rounds = 5;
const connections = 16;
const streams = 64;

/** Milliseconds, by pair: of the pass-through, and by how much the gateway's is later. */
interface Start {
  name: string;
  apartMs: number;
  bare: number[];
  later: number[];
}
const atOnce: Start = { name: '16 begin at once', apartMs: 0, bare: [], later: [] };
const apart: Start = { name: 'they begin 31 ms apart', apartMs: 31, bare: [], later: [] };

for (let pair = 0; pair < pairs; pair++) {
  const upstream = await startUpstream();
  const passThrough = await startPassThrough(upstream.url);
  const gateway = await startGateway(upstream.url);
  await warmUp(passThrough);
  await warmUp(gateway);
  for (const start of [atOnce, apart]) await compare(start, passThrough, gateway);
  for (const { child } of [passThrough, gateway, upstream]) child.disconnect();
}

const day = new Date().toISOString().slice(0, 10);
console.log(
  `${day}, Node ${process.version}, ${cpus()[0]?.model}, ${cpus().length} cores; ${pairs} pairs of processes`,
);
console.log(
  `medians of ${streams} streams in ${rounds} rounds, ms; mean over the pairs, and least to most\n`,
);
console.log(`${''.padEnd(28)}${'pass-through'.padStart(24)}${'gateway later by'.padStart(24)}`);
for (const { name, bare, later } of [atOnce, apart])
  console.log(`${name.padEnd(28)}${shown(bare).padStart(24)}${shown(later).padStart(24)}`);
const met = mean(atOnce.later) <= 1;
console.log(`\n${met ? 'met   ' : 'MISSED'} at most 1 ms later if 16 begin at once`);
process.exitCode = met ? 0 : 1;

async function compare(
  { apartMs, bare, later }: Start,
  passThrough: Contender,
  gateway: Contender,
): Promise<void> {
  const firstByte = async ({ target }: Contender) =>
    (await load(target, bodies.paced, connections, streams, apartMs)).firstByte;
  const firsts: number[] = [];
  const differences: number[] = [];
  for (let round = 0; round < rounds; round++) {
    // In turns, so that neither always comes after the other.
    const before = round % 2 === 1 ? await firstByte(gateway) : undefined;
    const first = await firstByte(passThrough);
    firsts.push(first);
    differences.push((before ?? (await firstByte(gateway))) - first);
  }
  bare.push(quantile(firsts, 0.5));
  later.push(quantile(differences, 0.5));
}

async function warmUp({ target }: Contender): Promise<void> {
  await load(target, bodies.plain, connections, 8000);
  await load(target, bodies.stream, connections, 2000);
  await load(target, bodies.paced, connections, streams);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function shown(values: readonly number[]): string {
  const bounds = `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}`;
  return `${mean(values).toFixed(2)} (${bounds})`;
}

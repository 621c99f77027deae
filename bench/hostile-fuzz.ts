/** Sizes and shapes: whether twice the input takes twice the time, and how long the event loop is blocked. */
import { Arena, type Attack } from './hostile-arena.ts';
import { shapes } from './hostile-attacks.ts';
import type { Providers } from './hostile-provider.ts';

export interface Measured {
  shape: string;
  /** Seconds of CPU for one and for two units of size. */
  once: number;
  twice: number;
  longestBlockMs: number;
  peakBytes: number;
  lost?: string;
}

interface Shape {
  name: string;
  /** Of one unit; a few megabytes, so that a call's own cost is small beside it. */
  size: number;
  attack: (size: number) => Attack;
  /** What is there before it, which is not measured. */
  prepare?: (size: number) => Attack;
}

const mebibyte = 1_048_576;
/** Least of so many runs: what else the machine does only ever adds. */
const runs = 3;

const call = '{"model":"model","input":"x","stream":true}';

const bodyShapes: Shape[] = Object.entries(shapes).map(([name, make]) => ({
  name: `body: ${name}`,
  size: 8 * mebibyte,
  attack: (size) => async (arena) => {
    await arena.model('hostile', 'model', 'good');
    const { status } = await arena.chat(await arena.key('hostile'), make(size));
    return String(status);
  },
}));

const answerShapes: Shape[] = ['event', 'comments', 'lines', 'json', 'spaces', 'bytes'].flatMap((kind) =>
  [7, 4_096].map((piece) => ({
    name: `answer: ${kind} in ${piece} bytes each`,
    size: piece < 100 ? 420_000 : 8_400_000,
    attack: (size: number) => async (arena: Arena) => {
      for (let sibling = 0; sibling < 2; sibling++)
        await arena.model('hostile', 'model', `${kind}-${size}-${piece}`);
      const { status } = await arena.send(await arena.key('hostile'), '/v1/responses', call);
      return String(status);
    },
  })),
);

const errorShapes: Shape[] = ['error', 'alike', 'slashes', 'percents'].map((kind) => ({
  name: `error block: ${kind}, 10 calls`,
  size: 120_000,
  attack: (size) => async (arena) => {
    const extra: Record<string, string> = {};
    for (let at = 0; at < 6; at++)
      extra[`x-secret-${at}`] =
        kind === 'alike'
          ? `${'a'.repeat(4_000)}${at}${'a'.repeat(4_000)}`
          : `${at}${'abcdefgh'.repeat(1000)}`;
    await arena.model('hostile', 'model', `${kind}-${size}-65536`, { extra_headers: extra });
    const key = await arena.key('hostile');
    for (let at = 0; at < 10; at++) await arena.chat(key, '{"model":"model","messages":[]}');
    return '';
  },
}));

function manyModels(size: number): Attack {
  return async (arena) => {
    for (let at = 0; at < size; at++) await arena.model('hostile', `model ${at}`, 'good');
    return '';
  };
}

const recordShapes: Shape[] = [
  {
    name: 'models of one team, listed',
    size: 200,
    prepare: manyModels,
    attack: () => async (arena) => {
      const key = await arena.key('hostile');
      for (let at = 0; at < 40; at++) await arena.send(key, '/model/info');
      return '';
    },
  },
  {
    name: 'models of one team, 50 more added',
    size: 200,
    prepare: manyModels,
    attack: (size) => async (arena) => {
      for (let at = 0; at < 50; at++) await arena.model('hostile', `model ${size + at}`, 'good');
      return '';
    },
  },
  {
    name: 'fallbacks of fallbacks',
    size: 40,
    attack: (size) => async (arena) => {
      const fallbacks = Array.from({ length: size }, (_, at) => ({
        [`m${at}`]: [`m${at + 1}`, `m${at + 2}`],
      }));
      for (let at = 0; at < 12; at++) await arena.model('hostile', `m${at}`, 'failing', { num_retries: 0 });
      await arena.manage('/team/update', { team_id: 'hostile', settings: { fallbacks, cooldown_time: 0 } });
      const key = await arena.key('hostile');
      for (let at = 0; at < 20; at++) await arena.chat(key, '{"model":"m0","messages":[]}');
      return '';
    },
  },
  {
    name: 'headers of a call',
    size: 40,
    attack: (size) => async (arena) => {
      await arena.model('hostile', 'model', 'good');
      const key = await arena.key('hostile');
      const headers = Object.fromEntries(
        Array.from({ length: size }, (_, at) => [`x-h${at}`, 'v'.repeat(100)]),
      );
      for (let at = 0; at < 100; at++) await arena.chat(key, '{"model":"model","messages":[]}', headers);
      return '';
    },
  },
];

export const fuzzShapes: readonly Shape[] = [...bodyShapes, ...answerShapes, ...errorShapes, ...recordShapes];

/** @param overhead seconds of CPU of the honest team's calls and of a call that costs nothing, for as long as it takes */
export async function measure(shape: Shape, gateway: string, providers: Providers): Promise<Measured> {
  const measured: Measured = { shape: shape.name, once: 0, twice: 0, longestBlockMs: 0, peakBytes: 0 };
  const least = async (size: number) => {
    let cpuSeconds = Number.POSITIVE_INFINITY;
    for (let run = 0; run < runs; run++) {
      const arena = await Arena.open(gateway, providers);
      const damage = await arena.suffer(shape.attack(size), 20_000, shape.prepare?.(size));
      arena.close();
      if (damage.lost !== undefined) measured.lost = damage.lost;
      cpuSeconds = Math.min(cpuSeconds, damage.cpuSeconds);
      measured.longestBlockMs = Math.max(measured.longestBlockMs, damage.longestBlockMs);
      measured.peakBytes = Math.max(measured.peakBytes, damage.peakBytes);
      if (damage.lost !== undefined) break;
    }
    return cpuSeconds;
  };
  measured.once = await least(shape.size);
  if (measured.lost === undefined) measured.twice = await least(2 * shape.size);
  return measured;
}

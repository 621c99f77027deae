/**
 * What a hostile team can do to the process that serves all: for each attack the longest block of the event loop, the peak
 * memory and the honest team's slowest call, with the sources before the bounds and with these. Fails if an attack breaks the rule.
 *
 * npm run bench:hostile -- [--without-before] [--before <commit>] [--only <text>] [--without-fuzz]
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { buildBefore } from './before.ts';
import { Arena, type Attack, type Damage } from './hostile-arena.ts';
import { processAttacks } from './hostile-attacks.ts';
import { type SilentDns, silentDns } from './hostile-dns.ts';
import { fuzzShapes, measure } from './hostile-fuzz.ts';
import { startProviders } from './hostile-provider.ts';
import { starvation } from './hostile-starvation.ts';
import { script } from './http-contenders.ts';

/** The last commit before the bounds. */
const unbounded = '22ce012';
/** Milliseconds after which an attack is given up. */
const limitMs = 40_000;
const ruleMs = 50;
const noiseFactor = 10;
/** What a process may take beside its budget: buffers that wait to be collected, and the code's own. */
const maxPeakBytes = 768 * 1_048_576;
const maxRatio = 2.2;
/** Seconds of CPU that two runs of the same differ by. */
const noiseSeconds = 0.02;

const { values } = parseArgs({
  options: {
    before: { type: 'string', default: unbounded },
    'without-before': { type: 'boolean', default: false },
    'without-fuzz': { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
  },
});

const here = script('hostile-gateway');
const old = values['without-before'] ? undefined : buildBefore(values.before, ['hostile-gateway']);
const providers = await startProviders();
const dns = await silentDns();
let failed = false;
try {
  const idle: Attack = async () => {
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    return '';
  };
  const { longestBlockMs: idleMs } = await strike(here, idle);
  const allowedMs = Math.max(ruleMs, noiseFactor * idleMs);
  console.log(
    `${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${cpus()[0]?.model}, ${cpus().length} cores`,
  );
  console.log(`idle machine: ${idleMs.toFixed(0)} ms; allowed: ${allowedMs.toFixed(0)} ms\n`);
  const columns = 'block ms / CPU ms / peak MB / slowest call of another team ms';
  console.log(`${'attack'.padEnd(52)}${`before: ${columns}`}\n${''.padEnd(52)}now:    ${columns}`);
  for (const { item, name, attack, silentDns: silent } of [...processAttacks, ...starvation]) {
    if (!`${item} ${name}`.includes(values.only)) continue;
    if (silent && dns === undefined) {
      console.log(`${item} ${name}: not run, since it needs a mount namespace and port 53 of 127.0.0.99`);
      continue;
    }
    const names = silent ? dns : undefined;
    if (old !== undefined)
      print(`${item.padEnd(4)}${name}`, 'before', await strike(old.script('hostile-gateway'), attack, names));
    const now = await strike(here, attack, names);
    const broken = now.lost !== undefined || now.longestBlockMs > allowedMs || now.peakBytes > maxPeakBytes;
    failed ||= broken;
    print(old === undefined ? `${item.padEnd(4)}${name}` : '', broken ? 'MISSED' : 'now', now);
  }
  if (!values['without-fuzz']) await fuzz(allowedMs);
} finally {
  providers.close();
  dns?.close();
  old?.remove();
}
process.exitCode = failed ? 1 : 0;
process.exit();

async function strike(gateway: string, attack: Attack, names?: SilentDns): Promise<Damage> {
  providers.requests.clear();
  const arena = await Arena.open(gateway, providers, names);
  const damage = await arena.suffer(attack, limitMs);
  arena.close();
  return damage;
}

function print(attack: string, when: string, damage: Damage): void {
  const { longestBlockMs, cpuSeconds, peakBytes, slowestOtherMs, lost, note } = damage;
  const figures = [longestBlockMs, 1000 * cpuSeconds, peakBytes / 1_048_576, slowestOtherMs].map((figure) =>
    figure.toFixed(0).padStart(7),
  );
  console.log(`${attack.padEnd(52)}${when.padEnd(8)}${figures.join('')}  ${lost ?? note}`);
}

async function fuzz(allowedMs: number): Promise<void> {
  console.log('\nseconds of CPU for one and for two units of input, of the honest calls too');
  for (const shape of fuzzShapes) {
    if (!shape.name.includes(values.only)) continue;
    const { once, twice, longestBlockMs, peakBytes, lost } = await measure(shape, here, providers);
    const ratio = twice / once;
    const broken =
      lost !== undefined ||
      longestBlockMs > allowedMs ||
      twice > maxRatio * once + noiseSeconds ||
      peakBytes > maxPeakBytes;
    failed ||= broken;
    console.log(
      `${shape.name.padEnd(52)}${broken ? 'MISSED ' : ''}${once.toFixed(2)} ${twice.toFixed(2)} ratio ${ratio.toFixed(2)}, ` +
        `block ${longestBlockMs.toFixed(0)} ms, peak ${(peakBytes / 1_048_576).toFixed(0)} MB ${lost ?? ''}`,
    );
  }
}

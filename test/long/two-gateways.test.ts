import { afterEach, describe, expect, it } from 'vitest';
import { clusterStorages } from '../support/connections.ts';
import { changes, inTurns, makeFiveChanges, noDelays, summary } from '../support/five-changes.ts';
import { type Gateway, startGateways } from '../support/gateways.ts';
import { chatCompletion, recordingProvider, sendJson } from '../support/recording-provider.ts';

const gateways: Gateway[] = [];
afterEach(async () => {
  await Promise.all(gateways.splice(0).map((gateway) => gateway.close()));
});

/** A provider that answers with the key it was called with, without its beginning: the whole key would be covered. */
const telling = () =>
  recordingProvider((request, response) => {
    const key = String(request.headers.authorization).replace('Bearer sk-', '');
    sendJson(response, 200, chatCompletion('gpt-4o', key));
  });

const teams = 200;

describe.each(clusterStorages)('two gateways on one $name', ({ name, url = '' }) => {
  it.skipIf(url === '').each([
    { watch: true, maxStalenessMs: 5_000, width: 2, pauseMs: 1 },
    { watch: false, maxStalenessMs: 1_000, width: 40, pauseMs: 20 },
  ])('a change at one shows at the other within the bound: %j', async ({ width, pauseMs, ...options }) => {
    const provider = await telling();
    gateways.push(...(await startGateways(2, url, { allow: [provider.url], ...options })));
    const [from, to] = gateways;
    if (from === undefined || to === undefined) throw new Error('a gateway is missing');
    const delays = noDelays();
    await inTurns(teams, width, (index) =>
      makeFiveChanges(from, to, provider.url, `team-${index}`, delays, pauseMs),
    );
    for (const change of changes) {
      const { count, p50, p99, max } = summary(delays[change].map(({ shown }) => shown));
      const stale = Math.max(...delays[change].map((delay) => delay.stale));
      console.log(
        `${name}, watch ${options.watch ? 'on' : 'cut off'}, maxStalenessMs ${options.maxStalenessMs}, ${change}: ` +
          `${count} times, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms, stale for ${stale.toFixed(1)} ms at most`,
      );
      expect(count).toBe(teams);
      expect(stale).toBeLessThan(options.maxStalenessMs);
      if (options.watch) expect(p50).toBeLessThan(50);
    }
    await provider.close();
  });
});

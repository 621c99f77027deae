import { describe, expect, it } from 'vitest';
import { clusterStorages } from '../support/connections.ts';
import { cuttingProxy } from '../support/cutting-proxy.ts';
import { type ManyWriters, writeTogether } from '../support/many-writers.ts';

const size = { processes: 4, count: 500, width: 25 };

describe.each(clusterStorages)(
  '4 processes x 500 addModel to the same 3 teams on $name',
  ({ name, url = '' }) => {
    const run = async (how: string, given: Partial<ManyWriters> = {}) => {
      const outcome = await writeTogether({ url, ...size, ...given });
      const { acknowledged, unknown, conflicts, unanswered, seconds } = outcome;
      console.log(
        `${name}, ${how}: ${acknowledged} acknowledged, ${unknown} of unknown outcome, ${conflicts} retries after ` +
          `conflicts, ${unanswered} writes without an answer, ${seconds.toFixed(1)} s`,
      );
      return outcome;
    };

    it.skipIf(url === '')('are all there, each once', async () => {
      const { acknowledged, conflicts } = await run('undisturbed');
      expect(acknowledged).toBe(2_000);
      expect(conflicts).toBeGreaterThan(0);
    });

    it.skipIf(url === '')(
      'lose nothing acknowledged, and apply nothing twice, while connections are cut',
      async () => {
        const proxy = await cuttingProxy(Number(new URL(url).port), 40);
        const proxied = new URL(url);
        proxied.port = String(proxy.port);
        const outcome = await run('connections cut at random', { url: proxied.href, directUrl: url });
        console.log(`${proxy.cuts} connections were cut`);
        expect(proxy.cuts).toBeGreaterThan(20);
        expect(outcome.unanswered).toBeGreaterThan(0);
        expect(outcome.acknowledged).toBeGreaterThan(1_000);
        await proxy.close();
      },
    );
  },
);

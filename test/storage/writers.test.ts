import { describe, expect, it } from 'vitest';
import { clusterStorages } from '../fixtures/connections.ts';
import { cuttingProxy } from '../fixtures/cutting-proxy.ts';
import { writeTogether } from '../fixtures/many-writers.ts';

describe.each(clusterStorages)('2 nodes that write to the same teams on $name', ({ url = '' }) => {
  it.skipIf(url === '')(
    'lose nothing, and apply nothing twice, while their connections are cut',
    async () => {
      const proxy = await cuttingProxy(Number(new URL(url).port), 15);
      const proxied = new URL(url);
      proxied.port = String(proxy.port);
      const outcome = await writeTogether({
        url: proxied.href,
        directUrl: url,
        processes: 2,
        count: 60,
        width: 5,
      });
      expect(proxy.cuts).toBeGreaterThan(0);
      expect(outcome.unanswered).toBeGreaterThan(0);
      expect(outcome.conflicts).toBeGreaterThan(0);
      expect(outcome.acknowledged).toBeGreaterThan(0);
      await proxy.close();
    },
  );
});

import { describe, expect, it } from 'vitest';
import { clusterStorages } from '../support/connections.ts';
import { cuttingProxy } from '../support/cutting-proxy.ts';
import { writeTogether } from '../support/many-writers.ts';

const maxRounds = 5;

describe.each(clusterStorages)('2 nodes that write to the same teams on $name', ({ url = '' }) => {
  it.skipIf(url === '')(
    'lose nothing, and apply nothing twice, while their connections are cut',
    async () => {
      const proxy = await cuttingProxy(Number(new URL(url).port), 15);
      const proxied = new URL(url);
      proxied.port = String(proxy.port);
      const writing = { url: proxied.href, directUrl: url, processes: 2, count: 60, width: 5 };
      const seen = { acknowledged: 0, conflicts: 0, unanswered: 0 };
      // Each round checks what it left; whether the nodes got in each other's way in it is up to the machine.
      for (let round = 0; round < maxRounds && Object.values(seen).includes(0); round++) {
        const outcome = await writeTogether(writing);
        seen.acknowledged += outcome.acknowledged;
        seen.conflicts += outcome.conflicts;
        seen.unanswered += outcome.unanswered;
      }
      expect(proxy.cuts).toBeGreaterThan(0);
      for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(0);
      await proxy.close();
    },
  );
});

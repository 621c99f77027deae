import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PriceTable, pricing } from '../../src/metering/prices.ts';
import type { Deployment } from '../../src/teams/records/deployment.ts';
import { runs } from '../support/runs.ts';

const deployment = (params: object, baseModel?: string) =>
  ({ params, baseModel, target: { provider: 'xai', model: 'grok' } }) as unknown as Deployment;
const at = new Date(0);
const asked: unknown[] = [];
const table: PriceTable = {
  calcPrice(usage, model, { providerId }) {
    asked.push([model, providerId]);
    if (model === 'unknown') return null;
    return { total_price: (usage.input_tokens ?? 0) * 0.1 };
  },
};

describe('pricing', () => {
  it("uses the deployment's own prices before the table", () => {
    const own = { input_cost_per_token: 0.000_002_5, output_cost_per_token: 0.000_01 };
    expect(pricing(table)(deployment(own), { input: 1_000, output: 10 }, at)).toEqual({
      costNanoUsd: 2_600_000,
      priceSource: 'deployment',
    });
    expect(pricing(table)(deployment({}), { input: 3 }, at)).toEqual({
      costNanoUsd: 300_000_000,
      priceSource: 'table',
    });
    expect(asked.at(-1)).toEqual(['grok', 'x-ai']);
    pricing(table)(deployment({}, 'base'), { input: 3 }, at);
    expect(asked.at(-1)).toEqual(['base', 'x-ai']);
  });

  it('leaves unpriced what no price covers, and never says 0 for it', () => {
    const none = { priceSource: 'none' };
    expect(pricing(undefined)(deployment({}), { input: 3 }, at)).toEqual(none);
    expect(pricing(table)(deployment({}, 'unknown'), { input: 3 }, at)).toEqual(none);
    expect(pricing(table)(deployment({}), {}, at)).toEqual(none);
    expect(pricing(table)(deployment({ input_cost_per_token: 1 }), { input: 1, output: 1 }, at)).toEqual(
      none,
    );
    const throwing = {
      calcPrice: () => {
        throw new Error('contradiction');
      },
    };
    expect(pricing(throwing)(deployment({}), { input: 3 }, at)).toEqual(none);
  });

  it('sums whole nano-dollars exactly', () => {
    const property = fc.property(
      fc.array(fc.integer({ min: 0, max: 10_000_000 }), { maxLength: 50 }),
      fc.integer({ min: 0, max: 100_000 }),
      (counts, nano) => {
        const price = pricing(undefined);
        const own = deployment({ input_cost_per_token: nano / 1e9, output_cost_per_token: 0 });
        const sum = counts.reduce((all, input) => all + (price(own, { input }, at).costNanoUsd ?? 0), 0);
        const tokens = counts.reduce((all, input) => all + BigInt(input), 0n);
        expect(BigInt(sum)).toBe(tokens * BigInt(nano));
      },
    );
    fc.assert(property, { numRuns: runs(1_000) });
  });
});

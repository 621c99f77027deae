import type { Deployment } from '../teams/records/deployment.ts';
import type { Pricing } from './meter.ts';
import type { Usage } from './usage/usage-report.ts';

/**
 * A table of prices. The module `@pydantic/genai-prices` has this form.
 *
 * @example
 * ```ts
 * // With calcPrice of @pydantic/genai-prices.
 * const router = new TeamModelRouter({ storage, encryptionKeys, onUsage, prices: { calcPrice } });
 * ```
 */
export interface PriceTable {
  /** Returns the price in USD, or `null` if the table has no such model. */
  calcPrice(
    usage: Record<string, number | undefined>,
    modelId: string,
    options: { providerId: string; timestamp: Date },
  ): { total_price: number } | null;
}

const nanoPerUsd = 1_000_000_000;

/** The names of providers that the table spells differently. */
const providerIds: Readonly<Record<string, string>> = {
  fireworks_ai: 'fireworks',
  gemini: 'google',
  together_ai: 'together',
  xai: 'x-ai',
};

/** Returns what prices a usage: the deployment's own fields first, then the table. */
export function pricing(table: PriceTable | undefined): Pricing {
  return (deployment, usage, at) => {
    const own = ownCost(deployment, usage);
    if (own === 'none') {
      const cost = table && tableCost(table, deployment, usage, at);
      return cost === undefined ? { priceSource: 'none' } : { costNanoUsd: cost, priceSource: 'table' };
    }
    return own === undefined ? { priceSource: 'none' } : { costNanoUsd: own, priceSource: 'deployment' };
  };
}

/** Returns `'none'` if the deployment has no prices, and `undefined` if they do not cover the usage. */
function ownCost({ params }: Deployment, { input, output }: Usage): number | undefined | 'none' {
  const { input_cost_per_token: inputPrice, output_cost_per_token: outputPrice } = params;
  if (inputPrice === undefined && outputPrice === undefined) return 'none';
  if (input === undefined && output === undefined) return undefined;
  const parts = [costOf(input, inputPrice), costOf(output, outputPrice)];
  let sum = 0;
  for (const part of parts) {
    if (part === undefined) return undefined;
    sum += part;
  }
  return safe(sum);
}

/** Returns whole nano-dollars, or `undefined` for tokens without a price. */
function costOf(tokens: number | undefined, price: number | undefined): number | undefined {
  if (tokens === undefined || tokens === 0) return 0;
  return price === undefined ? undefined : Math.round(tokens * price * nanoPerUsd);
}

function tableCost(table: PriceTable, deployment: Deployment, usage: Usage, at: Date): number | undefined {
  const { input, output, cachedInput, cacheWrite, inputAudio, outputAudio } = usage;
  if (input === undefined && output === undefined) return undefined;
  const { provider, model } = deployment.target;
  try {
    const price = table.calcPrice(
      {
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: cachedInput,
        cache_write_tokens: cacheWrite,
        input_audio_tokens: inputAudio,
        output_audio_tokens: outputAudio,
      },
      deployment.baseModel ?? model,
      { providerId: providerIds[provider] ?? provider, timestamp: at },
    );
    return price === null ? undefined : safe(Math.round(price.total_price * nanoPerUsd));
  } catch {
    // The table rejects counts that contradict each other.
    return undefined;
  }
}

function safe(nanoUsd: number): number | undefined {
  return Number.isSafeInteger(nanoUsd) && nanoUsd >= 0 ? nanoUsd : undefined;
}

import type { Usage } from './usage/usage-report.ts';

/**
 * Where the counts of a usage come from. `none`: the provider refused the request, so nothing was used.
 *
 * @example
 * ```ts
 * const isExact = (source: UsageSource) => source === 'provider' || source === 'none';
 * ```
 */
export type UsageSource = 'provider' | 'estimated' | 'unknown' | 'none';

/**
 * Where a price comes from: the deployment's own fields, the price table, or nowhere.
 *
 * @example
 * ```ts
 * const isPriced = (source: PriceSource) => source !== 'none';
 * ```
 */
export type PriceSource = 'deployment' | 'table' | 'none';

/**
 * How an attempt ended. `incomplete`: the provider cut its stream.
 *
 * @example
 * ```ts
 * const failed = (outcome: UsageOutcome) => outcome !== 'success';
 * ```
 */
export type UsageOutcome = 'success' | 'error' | 'aborted' | 'incomplete';

/**
 * What one attempt at one deployment used. An event is created when the attempt's body has ended, for every attempt that
 * a provider may charge for.
 *
 * @example
 * ```ts
 * const onUsage = async (events: readonly UsageEvent[]) => {
 *   for (const { id, teamId, usage, source } of events)
 *     if (source === 'shared') console.log(id, teamId, usage.input, usage.output);
 * };
 * ```
 */
export interface UsageEvent {
  /** A UUID of version 7: the idempotency key. */
  readonly id: string;
  readonly callId: string;
  /** The position of the attempt within its call, from 1. */
  readonly attempt: number;
  /** When the attempt ended, in ISO 8601. */
  readonly at: string;
  /** `null`: the operator's own call. */
  readonly teamId: string | null;
  /** The SHA-256 of the team key in hex, if a key authenticated the call. */
  readonly keyId?: string;
  readonly keyAlias?: string;
  /** The member of the team, from `authenticate` or the call's options. */
  readonly userId?: string;
  readonly tags?: readonly string[];
  /** The public name. */
  readonly model: string;
  readonly deploymentId: string;
  readonly provider: string;
  /** The provider's own name of the model. */
  readonly providerModel: string;
  /** The id of the endpoint, such as `chat.completions.create`. */
  readonly endpoint: string;
  readonly stream: boolean;
  /** Whose credential the provider was sent: the team's own, or the operator's. */
  readonly source: 'team' | 'shared';
  readonly outcome: UsageOutcome;
  readonly status: number;
  readonly usage: Usage;
  readonly usageSource: UsageSource;
  /** Whole nano-dollars (1 USD is 1 000 000 000). Absent if the attempt is unpriced. */
  readonly costNanoUsd?: number;
  readonly priceSource: PriceSource;
}

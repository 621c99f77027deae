import type { Deployment } from '../teams/records/deployment.ts';
import type { Usage } from './usage/usage-report.ts';
import type { PriceSource, UsageEvent, UsageOutcome, UsageSource } from './usage-event.ts';
import { uuidV7 } from './uuid-v7.ts';

/** An attempt that has ended, as the calls report it. */
export interface MeteredAttempt {
  callId: string;
  attempt: number;
  teamId: string | null;
  keyId: string | undefined;
  keyAlias: string | undefined;
  userId: string | undefined;
  tags: readonly string[] | undefined;
  deployment: Deployment;
  endpoint: string;
  stream: boolean;
  outcome: UsageOutcome;
  status: number;
  usage: Usage;
  usageSource: UsageSource;
}

/** Returns the cost of a usage. */
export type Pricing = (
  deployment: Deployment,
  usage: Usage,
  at: Date,
) => { costNanoUsd?: number; priceSource: PriceSource };

export interface MeterOptions {
  price: Pricing;
  sink: { push(event: UsageEvent): void };
}

/** Creates a usage event for each attempt, and passes it to the sink. */
export class Meter {
  readonly #options: MeterOptions;

  constructor(options: MeterOptions) {
    this.#options = options;
  }

  record(given: MeteredAttempt): UsageEvent {
    const { deployment, keyId, keyAlias, userId, tags, usage, ...rest } = given;
    const { price, sink } = this.#options;
    const at = new Date();
    const event: UsageEvent = {
      id: uuidV7(at.getTime()),
      at: at.toISOString(),
      ...rest,
      model: deployment.publicName,
      deploymentId: deployment.id,
      provider: deployment.target.provider,
      providerModel: deployment.target.model,
      source: deployment.teamId === null ? 'shared' : 'team',
      usage,
      ...price(deployment, usage, at),
      ...(keyId !== undefined && { keyId }),
      ...(keyAlias !== undefined && { keyAlias }),
      ...(userId !== undefined && { userId }),
      ...(tags !== undefined && tags.length > 0 && { tags: [...tags] }),
    };
    sink.push(event);
    return event;
  }
}

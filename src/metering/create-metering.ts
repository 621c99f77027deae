import { describeError, type Log } from '../logger.ts';
import { Meter } from './meter.ts';
import { type PriceTable, pricing } from './prices.ts';
import { UsageSink } from './sink/usage-sink.ts';
import type { UsageEvent } from './usage-event.ts';

export interface MeteringOptions {
  onUsage: ((events: readonly UsageEvent[]) => unknown) | undefined;
  prices: PriceTable | undefined;
  random: () => number;
  log: Log;
}

export interface Metering {
  meter: Meter;
  /** Delivers what waits, for a bounded time. */
  close(): Promise<void>;
}

/** Creates what measures usage, or `undefined` if nothing listens to it. */
export function createMetering({ onUsage, prices, random, log }: MeteringOptions): Metering | undefined {
  if (onUsage === undefined) return undefined;
  const sink = new UsageSink({
    deliver: onUsage,
    onFailed: (error) => log.write('warn', { error: describeError(error) }, 'onUsage failed'),
    onDropped: (dropped) => log.write('warn', { dropped }, 'usage events dropped'),
    random,
  });
  const meter = new Meter({ price: pricing(prices), sink });
  return { meter, close: () => sink.close() };
}

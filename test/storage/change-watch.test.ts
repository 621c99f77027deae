import { expect, it } from 'vitest';
import { ChangeSubscription, type Subscription } from '../../src/storage/support/change-subscription.ts';

const fails = (): never => {
  throw new Error('the driver throws at once');
};
const never = new Promise<never>(() => {});
/** Ways in which a driver throws instead of rejecting. */
const subscribers: Record<string, () => Subscription> = {
  'when it connects': fails,
  'when it closes': () => ({ ready: Promise.reject(new Error('refused')), ping: () => never, close: fails }),
};

it.each(Object.entries(subscribers))(
  'a driver that throws %s ends no process, and is tried again',
  async (_, subscribe) => {
    const unhandled: unknown[] = [];
    const note = (error: unknown) => void unhandled.push(error);
    process.on('unhandledRejection', note);
    let attempts = 0;
    let triedAgain = () => {};
    const again = new Promise<void>((resolve) => {
      triedAgain = resolve;
    });
    const watch = new ChangeSubscription(
      () => {
        attempts += 1;
        if (attempts === 3) triedAgain();
        return subscribe();
      },
      { timeoutMs: 1_000, heartbeatMs: 1_000 },
    );
    const stop = await watch.watch(() => {});
    await again;
    await stop();
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
  },
);

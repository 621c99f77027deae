import { RouterError } from '../../errors.ts';
import { createLruCache } from '../../lru-cache.ts';

const maxTeams = 10_000;

/**
 * Limits each team (`null`: the operator) to `most` requests per `windowMs`.
 *
 * @throws RouterError `rate_limit_exceeded`, with the seconds until the next attempt
 */
export function limiter(
  most: number,
  windowMs: number,
  now: () => number = () => performance.now(),
): (teamId: string | null) => void {
  const windows = createLruCache<string, { from: number; count: number }>(maxTeams);
  return (teamId) => {
    const key = teamId === null ? 'operator' : `team/${teamId}`;
    const current = windows.get(key);
    if (current === undefined || now() - current.from >= windowMs) {
      windows.set(key, { from: now(), count: 1 });
      return;
    }
    if (current.count >= most) throw new TooManyRequests(Math.ceil((current.from + windowMs - now()) / 1000));
    current.count += 1;
  };
}

/** Sets `retry-after` to the seconds until the next attempt. */
export class TooManyRequests extends RouterError {
  readonly retryAfterSeconds: number;

  constructor(retryAfterSeconds: number) {
    super('rate_limit_exceeded', `Too many requests. Retry in ${retryAfterSeconds} s.`);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

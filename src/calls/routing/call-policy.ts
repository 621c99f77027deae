import { RouterError } from '../../errors.ts';
import { isFallbackName } from '../../schemas/names.ts';
import { maxTimeoutSeconds, secondsProblem } from '../../schemas/seconds.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { TeamSettings } from '../../teams/records/snapshot-cache.ts';
import type { AttemptLimit } from '../abort/cancel.ts';
import type { Call } from '../call.ts';
import type { CooldownPolicy } from './circuit.ts';

const defaults = { retries: 2, timeoutMs: 600_000, allowedFails: 3, cooldownMs: 5_000 } as const;
const maxTimeoutMs = 86_400_000;
/** Fallbacks that one call may use, however they are chained. */
export const maxFallbacks = 10;
const none: readonly string[] = [];

/**
 * The time limits, retries, cooldowns and fallbacks of one call. The call's own options and headers come first, then the
 * deployment's, the team's and the defaults.
 */
export class CallPolicy {
  readonly #call: Call;
  readonly #team: TeamSettings | undefined;
  readonly #retries: number | undefined;
  readonly #timeoutMs: number | undefined;
  readonly #now: () => number;
  readonly #startedAt: number;
  #sharedRetries = 0;

  /** @throws RouterError `invalid_request` for a header that is no number, or fallbacks that are no names */
  constructor(call: Call, team: TeamSettings | undefined, now: () => number, startedAt: number) {
    checkFallbacks(call.fallbacks);
    this.#call = call;
    this.#team = team;
    this.#now = now;
    this.#startedAt = startedAt;
    this.#retries = call.numRetries ?? headerNumber(call, 'x-litellm-num-retries', 1);
    const seconds = team?.timeout;
    this.#timeoutMs =
      call.timeoutMs ??
      headerMs(call, 'x-litellm-timeout') ??
      (seconds === undefined ? undefined : seconds * 1000);
  }

  /** The fallbacks that the call names. */
  get named(): readonly string[] {
    return this.#call.fallbacks ?? none;
  }

  /** Returns whether the time of the call is over. */
  get expired(): boolean {
    return this.#now() - this.#startedAt >= (this.#timeoutMs ?? Number.POSITIVE_INFINITY);
  }

  /**
   * Returns whether another attempt may follow at this deployment's pool. The operator bounds what a call adds to the load of
   * shared deployments: `num_retries` of the deployment, or the default, for all shared pools of the call together.
   *
   * @param made attempts after the first one at this pool
   */
  mayRetry({ params, teamId }: Deployment, made: number): boolean {
    const asked = this.#retries ?? params.num_retries ?? this.#team?.num_retries;
    const wanted = asked !== undefined && asked >= 0 ? asked : defaults.retries;
    if (made >= wanted) return false;
    return teamId !== null || this.#sharedRetries < (params.num_retries ?? defaults.retries);
  }

  /** Counts an attempt that follows one at `deployment`. */
  countRetry({ teamId }: Deployment): void {
    if (teamId === null) this.#sharedRetries += 1;
  }

  /**
   * The time until the first byte that is left: a deployment's `timeout` bounds an attempt, the call's all of them. At a
   * shared deployment a call's own time counts only up to what holds without it.
   */
  limitOf({ params, teamId }: Deployment): AttemptLimit {
    const own = params.timeout === undefined ? defaults.timeoutMs : params.timeout * 1000;
    const most = Math.max(own, defaults.timeoutMs);
    const asked = this.#timeoutMs ?? most;
    const whole = teamId === null ? Math.min(asked, most) : asked;
    const left = Math.max(1, whole - (this.#now() - this.#startedAt));
    const callers = this.#timeoutMs !== undefined && left < own;
    return {
      milliseconds: Math.min(own, left, maxTimeoutMs),
      left: Math.min(left, maxTimeoutMs),
      callers,
    };
  }

  /** A shared deployment cools by the defaults: no team's settings decide for the others. */
  cooldownOf({ teamId }: Deployment): CooldownPolicy {
    const team = teamId === null ? undefined : this.#team;
    const seconds = team?.cooldown_time;
    return {
      allowedFails: team?.allowed_fails ?? defaults.allowedFails,
      cooldownMs: seconds === undefined ? defaults.cooldownMs : seconds * 1000,
    };
  }

  /** Returns the fallbacks of `name`. Fallbacks of the call replace the team's and have no fallbacks themselves. */
  fallbacksOf(name: string, first: boolean): readonly string[] {
    if (this.#call.fallbacks !== undefined) return first ? this.#call.fallbacks : none;
    return this.#team?.fallbacks.get(name) ?? none;
  }
}

function checkFallbacks(given: unknown): void {
  if (given === undefined) return;
  const names =
    Array.isArray(given) &&
    given.length <= maxFallbacks &&
    given.every((name) => typeof name === 'string' && isFallbackName(name));
  if (names) return;
  const message = `fallbacks: must be at most ${maxFallbacks} model names, no patterns`;
  throw new RouterError('invalid_request', message, { param: 'fallbacks' });
}

/**
 * Returns the milliseconds of a header that has seconds.
 *
 * @throws RouterError `invalid_request` if the header is no number of seconds above 0
 */
export function headerMs(call: Pick<Call, 'headers'>, name: string): number | undefined {
  return headerNumber(call, name, 1000);
}

function headerNumber(call: Pick<Call, 'headers'>, name: string, unit: number): number | undefined {
  const text = call.headers.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  const most = unit > 1 ? maxTimeoutSeconds : maxTimeoutMs;
  const isOne = text.trim() !== '' && (unit > 1 ? value > 0 : value >= 0 && Number.isInteger(value));
  if (isOne && value <= most) return value * unit;
  const problem =
    isOne && unit > 1
      ? secondsProblem(value, most)
      : `must be a number of ${unit > 1 ? 'seconds above 0' : 'retries'}`;
  throw new RouterError('invalid_request', `${name}: ${problem}`, { param: name });
}

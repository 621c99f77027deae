import { RouterError } from '../errors.ts';
import { createLruCache } from '../lru-cache.ts';

/** A token and its lifetime in seconds. */
export interface Grant {
  token: string;
  seconds: number;
}

interface CachedToken extends Grant {
  /** After this time a new token is requested in the background, while this one is still used. */
  renewAt: number;
  endsAt: number;
  /** Whether this token replaced a rejected one. Another request would not help then. */
  isReplacement: boolean;
}

const maxTokens = 10_000;
const maxSeconds = 86_400;
/**
 * Milliseconds before expiry at which a token is renewed. Short-lived tokens are renewed after half of their
 * lifetime.
 */
const renewMs = 300_000;
/** Milliseconds between attempts after a failure. An attempt per call could lock the account. */
const pauseMs = 10_000;

/**
 * Caches tokens, with single flight per key. A key identifies a deployment and the version of its secret, so a token
 * is used only with the secret that it was issued for.
 */
export class TokenCache {
  readonly #tokens = createLruCache<string, CachedToken>(maxTokens);
  readonly #rejected = createLruCache<string, true>(maxTokens);
  readonly #failures = createLruCache<string, { error: RouterError; until: number }>(maxTokens);
  readonly #pending = new Map<string, Promise<CachedToken>>();
  readonly #now: () => number;

  /** @param now returns monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Returns the cached token, or a promise of a new one.
   *
   * @throws the error of `requestToken`
   */
  get(key: string, requestToken: () => Promise<Grant>): string | Promise<string> {
    const now = this.#now();
    const entry = this.#tokens.get(key);
    if (entry === undefined || now >= entry.endsAt)
      return this.#request(key, requestToken).then(({ token }) => token);
    if (now >= entry.renewAt) this.#request(key, requestToken).catch(() => {});
    return entry.token;
  }

  /** Removes a rejected token. Returns whether requesting another token may help. */
  reject(key: string, token: string): boolean {
    const entry = this.#tokens.get(key);
    // Another call has already removed the token.
    if (entry?.token !== token) return true;
    if (entry.isReplacement) return false;
    this.#tokens.delete(key);
    this.#rejected.set(key, true);
    return true;
  }

  async #request(key: string, requestToken: () => Promise<Grant>): Promise<CachedToken> {
    const running = this.#pending.get(key);
    if (running !== undefined) return running;
    const failure = this.#failures.get(key);
    if (failure !== undefined && this.#now() < failure.until) throw failure.error;
    const pending = this.#renew(key, requestToken).finally(() => this.#pending.delete(key));
    this.#pending.set(key, pending);
    return pending;
  }

  async #renew(key: string, requestToken: () => Promise<Grant>): Promise<CachedToken> {
    try {
      const { token, seconds } = await requestToken();
      const now = this.#now();
      const lifeMs = Math.min(seconds, maxSeconds) * 1000;
      const entry = {
        token,
        seconds,
        renewAt: now + lifeMs - Math.min(renewMs, lifeMs / 2),
        endsAt: now + lifeMs,
        isReplacement: this.#rejected.delete(key),
      };
      this.#tokens.set(key, entry);
      return entry;
    } catch (error) {
      const retryAt = this.#now() + pauseMs;
      const current = this.#tokens.get(key);
      if (current !== undefined) current.renewAt = retryAt;
      if (RouterError.isInstance(error) && error.code === 'provider_authentication_failed') {
        this.#failures.set(key, { error, until: retryAt });
      }
      throw error;
    }
  }
}

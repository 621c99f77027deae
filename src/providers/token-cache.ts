import { RouterError } from '../errors.ts';
import { createLruCache } from '../lru-cache.ts';

/** A token, and for how many seconds it holds. */
export interface Grant {
  token: string;
  seconds: number;
}

interface CachedToken extends Grant {
  /** From here on a new one is asked for, while this one still serves. */
  renewAt: number;
  endsAt: number;
  /** Asked for because the one before was rejected: asking once more would change nothing. */
  last: boolean;
}

const maxTokens = 10_000;
const maxSeconds = 86_400;
/** How long before its end a token is renewed, unless it is short-lived. */
const renewMs = 300_000;
/** Between two tries where one failed: an authority that is asked on every call would lock the account. */
const pauseMs = 10_000;

/**
 * Tokens in memory, one request for each at a time. A key names a deployment and the version of its secret, so that
 * nobody gets a token that another secret was exchanged for.
 */
export class TokenCache {
  readonly #tokens = createLruCache<string, CachedToken>(maxTokens);
  readonly #rejected = createLruCache<string, true>(maxTokens);
  readonly #refused = createLruCache<string, { error: RouterError; until: number }>(maxTokens);
  readonly #asking = new Map<string, Promise<CachedToken>>();
  readonly #now: () => number;

  /** @param now milliseconds, monotonic */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The token of this key, at once if there is one that holds. @throws what `ask` throws */
  get(key: string, ask: () => Promise<Grant>): string | Promise<string> {
    const now = this.#now();
    const entry = this.#tokens.get(key);
    if (entry === undefined || now >= entry.endsAt) return this.#ask(key, ask).then(({ token }) => token);
    if (now >= entry.renewAt) this.#ask(key, ask).catch(() => {});
    return entry.token;
  }

  /** Forgets a token that was not accepted; whether another one is worth asking for. */
  reject(key: string, token: string): boolean {
    const entry = this.#tokens.get(key);
    // Another call has dropped it already.
    if (entry?.token !== token) return true;
    if (entry.last) return false;
    this.#tokens.delete(key);
    this.#rejected.set(key, true);
    return true;
  }

  async #ask(key: string, ask: () => Promise<Grant>): Promise<CachedToken> {
    const running = this.#asking.get(key);
    if (running !== undefined) return running;
    const refused = this.#refused.get(key);
    if (refused !== undefined && this.#now() < refused.until) throw refused.error;
    const asking = this.#renew(key, ask).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asking);
    return asking;
  }

  async #renew(key: string, ask: () => Promise<Grant>): Promise<CachedToken> {
    try {
      const { token, seconds } = await ask();
      const now = this.#now();
      const lifeMs = Math.min(seconds, maxSeconds) * 1000;
      const entry = {
        token,
        seconds,
        renewAt: now + lifeMs - Math.min(renewMs, lifeMs / 2),
        endsAt: now + lifeMs,
        last: this.#rejected.delete(key),
      };
      this.#tokens.set(key, entry);
      return entry;
    } catch (error) {
      const later = this.#now() + pauseMs;
      const held = this.#tokens.get(key);
      if (held !== undefined) held.renewAt = later;
      if (RouterError.isInstance(error) && error.code === 'provider_authentication_failed') {
        this.#refused.set(key, { error, until: later });
      }
      throw error;
    }
  }
}

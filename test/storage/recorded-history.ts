import { expect } from 'vitest';
import type { Storage, Version } from '../../src/storage/storage.ts';

/** When something was under way, on a clock that ticks with every beginning and every end. */
interface Span {
  start: number;
  end: number;
}

/** One version of a key, from the write that made it to the one that replaced or deleted it. */
interface Life {
  key: string;
  value: string;
  /** The version that it replaced; `null`: it was inserted. */
  before: Version | null;
  born: Span;
  died: Span | undefined;
}

interface Sight extends Span {
  key: string;
  value: string | undefined;
  version: Version | undefined;
}

/**
 * Writes down what several workers did to one storage at the same time, and tells whether one order of it all, in
 * which every step takes effect at one moment while it was under way, could have given the same answers.
 */
export class RecordedHistory {
  #clock = 0;
  readonly #lives = new Map<Version, Life>();
  readonly #conflicts: (Span & { key: string; expected: Version | null })[] = [];
  readonly #sights: Sight[] = [];
  readonly #walks: (Span & { prefix: string; listed: Set<string> })[] = [];
  readonly #ends: (Span & { version: Version })[] = [];

  async put(storage: Storage, key: string, value: string, expected: Version | null) {
    const { result: version, ...span } = await this.#during(() => storage.put(key, value, expected));
    if (version === undefined) this.#conflicts.push({ ...span, key, expected });
    else {
      expect(this.#lives.has(version), 'a version came back').toBe(false);
      this.#lives.set(version, { key, value, before: expected, born: span, died: undefined });
      if (expected !== null) this.#ends.push({ ...span, version: expected });
    }
    return version;
  }

  async delete(storage: Storage, key: string, expected: Version): Promise<boolean> {
    const { result: deleted, ...span } = await this.#during(() => storage.delete(key, expected));
    if (deleted) this.#ends.push({ ...span, version: expected });
    else this.#conflicts.push({ ...span, key, expected });
    return deleted;
  }

  async get(storage: Storage, key: string): Promise<Version | undefined> {
    const { result: row, ...span } = await this.#during(() => storage.get(key));
    if (row === 'unchanged') throw new Error('nobody asked whether it changed');
    this.#sights.push({ ...span, key, value: row?.value, version: row?.version });
    return row?.version;
  }

  async walk(storage: Storage, prefix: string, limit: number): Promise<void> {
    const start = ++this.#clock;
    const listed = new Set<string>();
    let cursor: string | undefined;
    do {
      const at = cursor === undefined ? {} : { cursor };
      const { result: page, ...span } = await this.#during(() => storage.list(prefix, { limit, ...at }));
      for (const { key, value, version } of page.entries) {
        listed.add(key);
        this.#sights.push({ ...span, key, value, version });
      }
      cursor = page.cursor;
    } while (cursor !== undefined);
    this.#walks.push({ start, end: ++this.#clock, prefix, listed });
  }

  /** Fails if no such order exists. */
  check(): void {
    for (const { version, ...span } of this.#ends) {
      const life = this.#life(version);
      expect(life.died, 'two writes replaced the same version').toBeUndefined();
      life.died = span;
    }
    for (const { key, expected, ...span } of this.#conflicts) {
      const reason =
        expected === null
          ? [...this.#lives.values()].some((life) => life.key === key && mayLive(life, span))
          : (this.#life(expected).died?.start ?? Number.POSITIVE_INFINITY) < span.end;
      expect(reason, 'a conflict without a reason').toBe(true);
    }
    for (const { key, value, version, ...span } of this.#sights) {
      if (version === undefined) {
        expect(this.#surelyThere(key, span), 'a key that was there throughout was absent').toBe(false);
      } else {
        const life = this.#life(version);
        expect({ key: life.key, value: life.value }).toEqual({ key, value });
        expect(mayLive(life, span), 'a version was seen outside of its life').toBe(true);
      }
    }
    for (const { prefix, listed, ...span } of this.#walks) {
      for (const key of new Set([...this.#lives.values()].map((life) => life.key))) {
        if (listed.has(key)) expect(key.startsWith(prefix)).toBe(true);
        else if (key.startsWith(prefix))
          expect(this.#surelyThere(key, span), 'a list left out a key').toBe(false);
      }
    }
  }

  #life(version: Version): Life {
    const life = this.#lives.get(version);
    if (life === undefined) throw new Error('a version that nobody wrote');
    return life;
  }

  /** Whether a chain of versions, from an insert to a delete, was there for the whole of the span. */
  #surelyThere(key: string, span: Span): boolean {
    const lives = [...this.#lives.entries()].filter(([, life]) => life.key === key);
    return lives.some(([version, life]) => {
      if (life.before !== null || life.born.end >= span.start) return false;
      let last = life;
      for (let current: Version | undefined = version; current !== undefined; ) {
        last = this.#life(current);
        current = lives.find(([, next]) => next.before === current)?.[0];
      }
      return last.died === undefined || last.died.start > span.end;
    });
  }

  async #during<Result>(operation: () => Promise<Result>): Promise<Span & { result: Result }> {
    const start = ++this.#clock;
    const result = await operation();
    return { result, start, end: ++this.#clock };
  }
}

function mayLive(life: Life, span: Span): boolean {
  return life.born.start < span.end && (life.died === undefined || life.died.end > span.start);
}

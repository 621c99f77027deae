import { createHash } from 'node:crypto';
import { createLruCache } from '../../lru-cache.ts';
import type { Storage, Version } from '../../storage/storage.ts';

/** Which deployment's account an object lives in, and until when that is remembered, in seconds since 1970. */
type ObjectEntry = [id: string, deploymentId: string, endsAt: number];

interface Page {
  version: Version | null;
  entries: Map<string, ObjectEntry>;
}

/** A team's memory has 2048 pages of this many entries, and so no more than 131 072 objects. */
const entriesOfPage = 64;
const pagesInMemory = 4096;
const maxTries = 8;
/** An answer waits no longer for its record than this. */
const maxWaitMs = 1000;

export interface AffinityOptions {
  /** Milliseconds for which an object is remembered after it was last spoken of. */
  affinityTtlMs: number;
  /** Pages that a team may have. Default 2048. */
  affinityPages?: number;
}

/**
 * Remembers which deployment made the objects that live in one provider account. Each team has a fixed number of pages
 * in the storage, and an object's id says which one it stands in, as in a set-associative cache: what is stored is
 * bounded without being counted, and the oldest of a full page goes. A record is a hint and no more: it can only choose
 * among deployments that the caller has.
 */
export class AffinityStore {
  readonly #storage: Storage;
  readonly #ttlMs: number;
  readonly #pageCount: number;
  readonly #pages = createLruCache<string, Page>(pagesInMemory);
  readonly #writing = new Map<string, Promise<void>>();

  constructor(storage: Storage, { affinityTtlMs, affinityPages = 2048 }: AffinityOptions) {
    this.#storage = storage;
    this.#pageCount = affinityPages;
    this.#ttlMs = affinityTtlMs;
  }

  /**
   * The deployment that the first known of these objects lives with: at once if this process knows it.
   *
   * @throws RouterError `storage_unavailable`: to guess would be to say that the object does not exist
   */
  lookup(teamId: string, objects: readonly string[]): string | undefined | Promise<string | undefined> {
    for (const object of objects) {
      const { key, id } = this.#place(teamId, object);
      const known = this.#use(teamId, object, this.#pages.get(key)?.entries.get(id));
      if (known !== undefined) return known;
    }
    return this.#look(teamId, objects);
  }

  async #look(teamId: string, objects: readonly string[]): Promise<string | undefined> {
    for (const object of objects) {
      const { key, id } = this.#place(teamId, object);
      const found = this.#use(teamId, object, (await this.#read(key)).entries.get(id));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /**
   * Remembers where these objects live, and resolves when every process can know, or when that takes too long: an answer
   * that is paid for is not held back for it, nor lost.
   */
  async remember(teamId: string, objects: readonly string[], deploymentId: string): Promise<void> {
    const writes = objects.flatMap((object) => {
      const { key, id } = this.#place(teamId, object);
      const known = this.#pages.get(key)?.entries.get(id);
      if (known?.[1] === deploymentId && this.#isYoung(known)) return [];
      return [this.#queue(key, [id, deploymentId, this.#endsAt()]).catch(() => {})];
    });
    if (writes.length === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, maxWaitMs);
    });
    await Promise.race([Promise.all(writes), late]);
    clearTimeout(timer);
  }

  #use(teamId: string, object: string, entry: ObjectEntry | undefined): string | undefined {
    if (entry === undefined || entry[2] * 1000 <= Date.now()) return undefined;
    // What is still spoken of is remembered on.
    if (!this.#isYoung(entry)) void this.remember(teamId, [object], entry[1]);
    return entry[1];
  }

  /** Where an object's entry stands; the hash keeps foreign ids, however long or strange, out of keys and values. */
  #place(teamId: string, object: string): { key: string; id: string } {
    const hash = createHash('sha256')
      .update(JSON.stringify([teamId, object]))
      .digest();
    const page = hash.readUInt32BE(0) % this.#pageCount;
    return { key: `affinity/${encodeURIComponent(teamId)}/${page}`, id: hash.toString('base64url', 4, 22) };
  }

  #isYoung([, , endsAt]: ObjectEntry): boolean {
    return endsAt * 1000 - Date.now() > this.#ttlMs / 2;
  }

  #endsAt(): number {
    return Math.ceil((Date.now() + this.#ttlMs) / 1000);
  }

  /** Writes to one page stand in line: they would only conflict. */
  #queue(key: string, entry: ObjectEntry): Promise<void> {
    const write = (this.#writing.get(key) ?? Promise.resolve())
      .catch(() => {})
      .then(() => this.#write(key, entry));
    this.#writing.set(key, write);
    const settle = () => {
      if (this.#writing.get(key) === write) this.#writing.delete(key);
    };
    write.then(settle, settle);
    return write;
  }

  async #write(key: string, entry: ObjectEntry): Promise<void> {
    let page = this.#pages.get(key) ?? { version: null, entries: new Map<string, ObjectEntry>() };
    for (let tries = 0; tries < maxTries; tries++) {
      const entries = withEntry(page.entries, entry);
      // Known here, whatever becomes of the write.
      this.#pages.set(key, { version: page.version, entries });
      const expiresAt = Date.now() + this.#ttlMs;
      const version = await this.#storage.put(key, encode(entries), page.version, { expiresAt });
      if (version !== undefined) {
        this.#pages.set(key, { version, entries });
        return;
      }
      page = await this.#read(key);
    }
  }

  async #read(key: string): Promise<Page> {
    const known = this.#pages.get(key);
    const unless = known?.version ?? undefined;
    const stored = await this.#storage.get(key, unless === undefined ? {} : { unless });
    if (stored === 'unchanged' && known !== undefined) return known;
    const page =
      typeof stored === 'object'
        ? { version: stored.version, entries: decode(stored.value) }
        : { version: null, entries: new Map<string, ObjectEntry>() };
    this.#pages.set(key, page);
    return page;
  }
}

function withEntry(entries: ReadonlyMap<string, ObjectEntry>, entry: ObjectEntry): Map<string, ObjectEntry> {
  const now = Date.now() / 1000;
  const kept = [...entries.values()].filter(([id, , endsAt]) => id !== entry[0] && endsAt > now);
  return new Map([...kept.slice(1 - entriesOfPage), entry].map((each) => [each[0], each]));
}

function encode(entries: ReadonlyMap<string, ObjectEntry>): string {
  return JSON.stringify({ format: 1, entries: [...entries.values()] });
}

/** A page that cannot be read is an empty one: it only holds hints. */
function decode(text: string): Map<string, ObjectEntry> {
  try {
    const { format, entries } = JSON.parse(text) as { format?: unknown; entries?: unknown };
    if (format !== 1 || !Array.isArray(entries)) return new Map();
    return new Map(entries.filter(isEntry).map((entry) => [entry[0], entry]));
  } catch {
    return new Map();
  }
}

function isEntry(value: unknown): value is ObjectEntry {
  if (!Array.isArray(value)) return false;
  const [id, deploymentId, endsAt] = value as unknown[];
  return typeof id === 'string' && typeof deploymentId === 'string' && typeof endsAt === 'number';
}

import { open } from 'node:fs/promises';
import { isIP } from 'node:net';

/** Maximum number of bytes that are read from a file. */
const maxBytes = 1_048_576;
const checkEveryMs = 5_000;

/** Addresses of each name in a hosts file. */
export type Hosts = ReadonlyMap<string, readonly string[]>;

/** Rules of resolv.conf for incomplete names. @see https://man7.org/linux/man-pages/man5/resolv.conf.5.html */
export interface SearchRules {
  /** Domains that complete a name. */
  search: readonly string[];
}

/** Caches the parsed content of a file and reloads it after a change. Treats an unreadable file as empty. */
export class WatchedFile<Content> {
  readonly #path: string;
  readonly #parse: (text: string) => Content;
  readonly #now: () => number;
  #content: Content;
  #version = '';
  #checkedAt = Number.NEGATIVE_INFINITY;
  #checking: Promise<Content> | undefined;

  constructor(path: string, parse: (text: string) => Content, now: () => number) {
    this.#path = path;
    this.#parse = parse;
    this.#now = now;
    this.#content = parse('');
  }

  /** Returns the content; a promise only if the file must be checked. */
  read(): Content | Promise<Content> {
    if (this.#now() - this.#checkedAt < checkEveryMs) return this.#content;
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async #check(): Promise<Content> {
    const text = await this.#changed();
    if (text !== undefined) this.#content = this.#parse(text);
    this.#checkedAt = this.#now();
    return this.#content;
  }

  /** Returns the text of the file if it has changed. */
  async #changed(): Promise<string | undefined> {
    try {
      const file = await open(this.#path);
      try {
        const { mtimeMs, size, ino } = await file.stat();
        const version = `${mtimeMs} ${size} ${ino}`;
        if (version === this.#version) return undefined;
        const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(Math.min(size, maxBytes)) });
        this.#version = version;
        return buffer.toString('utf8', 0, bytesRead);
      } finally {
        await file.close();
      }
    } catch {
      const gone = this.#version !== '';
      this.#version = '';
      return gone ? '' : undefined;
    }
  }
}

/** Parses a hosts file. @see https://man7.org/linux/man-pages/man5/hosts.5.html */
export function parseHosts(text: string): Hosts {
  const hosts = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = fields(line);
    if (isIP(address) === 0) continue;
    for (const name of names) {
      const host = name.toLowerCase().replace(/\.$/, '');
      const addresses = hosts.get(host);
      if (addresses === undefined) hosts.set(host, [address]);
      else if (!addresses.includes(address)) addresses.push(address);
    }
  }
  return hosts;
}

/**
 * Parses resolv.conf. Uses the last `search` or `domain` line and at most six of its domains, as glibc before 2.26
 * does.
 */
export function parseSearch(text: string): SearchRules {
  let search: string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...values] = fields(line);
    if (keyword === 'search') search = values;
    else if (keyword === 'domain') search = values.slice(0, 1);
  }
  const domains = search.map((domain) => domain.toLowerCase().replace(/^\.+|\.+$/g, ''));
  return { search: domains.filter((domain) => domain !== '').slice(0, 6) };
}

function fields(line: string): string[] {
  const text = line.replace(/[#;].*$/, '').trim();
  return text === '' ? [] : text.split(/\s+/);
}

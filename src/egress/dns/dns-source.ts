import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { platform } from 'node:os';
import { lookupFault, readLookupAnswer } from './lookup-answer.ts';
import type { NameSource } from './names.ts';
import { parseHosts, parseSearch, WatchedFile } from './system-files.ts';

/** Resolves a name to all of its addresses, with the signature of `dns.lookup`. */
export type Lookup = (
  hostname: string,
  options: { all: true },
  callback: (error: Error | null, addresses: LookupAddress[]) => void,
) => void;

/** Name servers and system files. Tests replace them. */
export interface DnsPlaces {
  /** Default: the servers of the system. */
  servers?: readonly string[];
  hostsFile?: string;
  resolvConf?: string;
}

/**
 * Milliseconds until a query is repeated, and the number of queries. With two servers a lookup fails after 9 seconds.
 */
const queryTimeoutMs = 1_500;
const queryTries = 2;
/** Milliseconds to wait for the other address family. @see https://www.rfc-editor.org/rfc/rfc8305#section-3 */
const otherFamilyMs = 50;
/** Seconds for which an answer without a TTL is cached. */
const defaultSeconds = 10;

const hostsPath = platform() === 'win32' ? 'C:\\Windows\\System32\\drivers\\etc\\hosts' : '/etc/hosts';

interface Resolved {
  addresses: LookupAddress[];
  seconds: number;
}

/**
 * Creates a source that queries the name servers over sockets. `dns.lookup` would use one of libuv's threads per
 * name, and names whose servers never answer would block all of them.
 *
 * The hosts file has priority. The search domains of resolv.conf are tried first for a name without a dot, and last
 * for a name with a dot.
 */
export function dnsSource(places: DnsPlaces = {}, now: () => number = () => performance.now()): NameSource {
  const hosts = new WatchedFile(places.hostsFile ?? hostsPath, parseHosts, now);
  const conf = new WatchedFile(places.resolvConf ?? '/etc/resolv.conf', parseSearch, now);
  let resolver: Resolver | undefined;
  let resolverOf: unknown;

  const resolve = async (host: string): Promise<Resolved> => {
    const listed = (await hosts.read()).get(host) ?? loopback(host);
    if (listed !== undefined) return { addresses: withFamily(listed), seconds: defaultSeconds };
    const rules = await conf.read();
    if (resolver === undefined || resolverOf !== rules) {
      // A resolver reads the system's name servers once, but they may have changed since.
      resolver = new Resolver({ timeout: queryTimeoutMs, tries: queryTries });
      resolverOf = rules;
      if (places.servers !== undefined) resolver.setServers(places.servers);
    }
    const completed = rules.search.map((domain) => `${host}.${domain}`);
    const candidates = host.includes('.') ? [host, ...completed] : [...completed, host];
    let unknown: unknown;
    for (const name of candidates.filter((candidate) => candidate.length <= 253)) {
      try {
        return await bothFamilies(resolver, name);
      } catch (error) {
        if (!isUnknown(error)) throw error;
        unknown ??= error;
      }
    }
    throw unknown ?? Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
  };
  return (host, callback) => {
    resolve(host).then(
      ({ addresses, seconds }) => callback(null, addresses, seconds),
      (error: Error) => callback(error, [], 0),
    );
  };
}

/**
 * Creates a source from a custom resolver. A lookup fails after `timeoutMs`. Whatever the resolver does, the source calls
 * back once and does not throw.
 */
export function lookupSource(lookup: Lookup, timeoutMs: number): NameSource {
  return (host, callback) => {
    let over = false;
    const once = (error: unknown, answer?: unknown) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      const read = readLookupAnswer(error, answer);
      if (read instanceof Error) callback(read, [], 0);
      else callback(null, read, defaultSeconds);
    };
    const threw = (error: unknown) => once(error instanceof Error ? error : lookupFault('throws no Error'));
    const timer = setTimeout(() => once(timedOut()), timeoutMs);
    try {
      const returned: unknown = lookup(host, { all: true }, once);
      // The rejection of an async function would end the process.
      if (isThenable(returned)) returned.then(undefined, threw);
    } catch (error) {
      threw(error);
    }
  };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function';
}

/** Resolves names with `dns.lookup`, for names that only the system's resolver knows. */
export const systemSource: NameSource = (host, callback) => {
  systemLookup(host, { all: true }, (error, addresses) =>
    callback(error, error === null ? addresses : [], defaultSeconds),
  );
};

/**
 * Queries both address families. Waits only briefly for the second one, because some name servers never answer for
 * IPv6.
 */
async function bothFamilies(resolver: Resolver, name: string): Promise<Resolved> {
  const ask = async (family: 4 | 6): Promise<Resolved> => {
    const records = await (family === 4
      ? resolver.resolve4(name, { ttl: true })
      : resolver.resolve6(name, { ttl: true }));
    const seconds = Math.min(...records.map(({ ttl }) => ttl));
    return { addresses: records.map(({ address }) => ({ address, family })), seconds };
  };
  const asked = [ask(4), ask(6)] as const;
  const first = await Promise.any(asked).catch((error: AggregateError) => {
    throw error.errors.find((one) => !isUnknown(one)) ?? error.errors[0];
  });
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, otherFamilyMs, undefined);
  });
  const settled = await Promise.race([Promise.allSettled(asked), deadline]);
  clearTimeout(timer);
  const results = settled?.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])) ?? [first];
  return {
    addresses: results.flatMap(({ addresses }) => addresses),
    seconds: Math.min(...results.map(({ seconds }) => seconds)),
  };
}

/** @see https://www.rfc-editor.org/rfc/rfc6761#section-6.3 */
function loopback(host: string): string[] | undefined {
  return host === 'localhost' || host.endsWith('.localhost') ? ['127.0.0.1', '::1'] : undefined;
}

function withFamily(addresses: readonly string[]): LookupAddress[] {
  return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
}

function isUnknown(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === 'ENOTFOUND' || code === 'ENODATA';
}

function timedOut(): Error {
  return Object.assign(new Error('lookup timed out'), { code: 'ETIMEOUT' });
}

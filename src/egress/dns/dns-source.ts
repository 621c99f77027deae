import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { platform } from 'node:os';
import type { NameSource } from './names.ts';
import { parseHosts, parseSearch, WatchedFile } from './system-files.ts';

/** As `dns.lookup`: answers with all addresses of a name. */
export type Lookup = (
  hostname: string,
  options: { all: true },
  callback: (error: Error | null, addresses: LookupAddress[]) => void,
) => void;

/** Where the name servers and the files are; the tests have their own. */
export interface DnsPlaces {
  /** Default: those of the system. */
  servers?: readonly string[];
  hostsFile?: string;
  resolvConf?: string;
}

/** Milliseconds until a name server is asked again, and how often: with two servers a name is given up after 9 seconds. */
const queryTimeoutMs = 1_500;
const queryTries = 2;
/** Milliseconds for the other family, once one has addresses. @see https://www.rfc-editor.org/rfc/rfc8305#section-3 */
const otherFamilyMs = 50;
/** Seconds that an answer without a TTL holds. */
const defaultSeconds = 10;

const hostsPath = platform() === 'win32' ? 'C:\\Windows\\System32\\drivers\\etc\\hosts' : '/etc/hosts';

interface Resolved {
  addresses: LookupAddress[];
  seconds: number;
}

/**
 * Looks names up at the name servers over sockets. `dns.lookup` would use a thread of libuv's pool for each name, and names whose servers
 * never answer would hold all of them. Names of the hosts file come first; a name without a dot is completed with the domains of
 * resolv.conf before it is asked for as it is, and one with a dot after.
 */
export function dnsSource(places: DnsPlaces = {}, now: () => number = () => performance.now()): NameSource {
  const hosts = new WatchedFile(places.hostsFile ?? hostsPath, parseHosts, now);
  const conf = new WatchedFile(places.resolvConf ?? '/etc/resolv.conf', parseSearch, now);
  let resolver: Resolver | undefined;
  let resolverOf: unknown;

  const find = async (host: string): Promise<Resolved> => {
    const listed = (await hosts.read()).get(host) ?? loopback(host);
    if (listed !== undefined) return { addresses: withFamily(listed), seconds: defaultSeconds };
    const rules = await conf.read();
    if (resolver === undefined || resolverOf !== rules) {
      // A resolver reads the system's name servers once, and the machine may have moved to others since.
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
    find(host).then(
      ({ addresses, seconds }) => callback(null, addresses, seconds),
      (error: Error) => callback(error, [], 0),
    );
  };
}

/** A look-up of the operator's own, which is given up after the time to connect. */
export function lookupSource(lookup: Lookup, timeoutMs: number): NameSource {
  return (host, callback) => {
    let over = false;
    const once = (error: Error | null, addresses: LookupAddress[]) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      callback(error, error === null ? addresses : [], defaultSeconds);
    };
    const timer = setTimeout(() => once(timedOut(), []), timeoutMs);
    try {
      lookup(host, { all: true }, once);
    } catch (error) {
      once(error instanceof Error ? error : new Error('look-up failed'), []);
    }
  };
}

/** The system's own look-up, for names that only it knows. */
export const systemSource: NameSource = (host, callback) => {
  systemLookup(host, { all: true }, (error, addresses) =>
    callback(error, error === null ? addresses : [], defaultSeconds),
  );
};

/** Waits for the second family a moment only: some name servers never answer for IPv6. */
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
  const moment = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, otherFamilyMs, undefined);
  });
  const settled = await Promise.race([Promise.allSettled(asked), moment]);
  clearTimeout(timer);
  const found = settled?.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])) ?? [first];
  return {
    addresses: found.flatMap(({ addresses }) => addresses),
    seconds: Math.min(...found.map(({ seconds }) => seconds)),
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
  return Object.assign(new Error('the look-up timed out'), { code: 'ETIMEOUT' });
}

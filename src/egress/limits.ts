import { RouterError } from '../errors.ts';
import { type DnsPlaces, dnsSource, type Lookup, lookupSource, systemSource } from './dns/dns-source.ts';
import { type LookupNames, Names } from './dns/names.ts';
import { TeamSlots } from './team-slots.ts';

export const defaultConnectTimeoutMs = 10_000;

/** Limits on the requests that are in flight at providers. */
export interface ConnectionLimits {
  /** Limit for all teams together. Default 2 048. */
  maxConnections?: number;
  /** Limit for one team. Default 256. */
  maxConnectionsPerTeam?: number;
  /** Maximum number of requests of one team that wait for a connection. Default 256. */
  maxQueuedPerTeam?: number;
  /** Milliseconds that a request waits for a connection. Default 10 000. */
  queueTimeoutMs?: number;
}

/** Options of host name resolution. */
export interface NameOptions {
  /** A custom resolver. Its results are not cached. */
  lookup?: Lookup;
  /**
   * `dns` (default) queries the name servers over sockets. `system` calls `dns.lookup`, which uses libuv's threads.
   */
  resolver?: 'dns' | 'system';
  /** Milliseconds for name resolution, the TCP connection and the TLS handshake together. Default 10 000. */
  connectTimeoutMs?: number;
  places?: DnsPlaces;
}

/** Creates the connection slots of a router. */
export function connectionSlots(limits: ConnectionLimits = {}): TeamSlots {
  const { maxConnections = 2_048, maxConnectionsPerTeam = 256, maxQueuedPerTeam = 256 } = limits;
  return new TeamSlots({
    total: maxConnections,
    perTeam: maxConnectionsPerTeam,
    queuedPerTeam: maxQueuedPerTeam,
    queueTimeoutMs: limits.queueTimeoutMs ?? 10_000,
    refusal(perTeamReached) {
      if (!perTeamReached) {
        const message = 'The router has reached its limit of calls in flight. Retry.';
        return new RouterError('overloaded', message, { retryAfter: 1 });
      }
      const message = `The team has reached its limit of ${maxConnectionsPerTeam} calls in flight. Retry after one of them has ended.`;
      return new RouterError('rate_limit_exceeded', message, { retryAfter: 1 });
    },
  });
}

/** libuv uses half of its four threads for name resolution, so one team may use one of them. */
const onThreads = { total: 2, perTeam: 1 };
const onSockets = { total: 256, perTeam: 16 };

/** Creates the resolver of a router. */
export function makeNames(options: NameOptions = {}): LookupNames {
  const { lookup, resolver, connectTimeoutMs = defaultConnectTimeoutMs, places } = options;
  // A queued lookup fails before the connect timeout expires, so the provider is not blamed for the queue.
  const queueTimeoutMs = Math.ceil(connectTimeoutMs / 2);
  if (lookup !== undefined)
    return new Names(lookupSource(lookup, connectTimeoutMs), { ...onSockets, queueTimeoutMs, cached: false })
      .lookup;
  if (resolver === 'system')
    return new Names(systemSource, { ...onThreads, queueTimeoutMs, cached: true }).lookup;
  return new Names(dnsSource(places), { ...onSockets, queueTimeoutMs, cached: true }).lookup;
}

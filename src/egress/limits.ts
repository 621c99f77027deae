import { RouterError } from '../errors.ts';
import { type DnsPlaces, dnsSource, type Lookup, lookupSource, systemSource } from './dns/dns-source.ts';
import { type LookupNames, Names } from './dns/names.ts';
import { TeamSlots } from './team-slots.ts';

export const defaultConnectTimeoutMs = 10_000;

/** Bounds on the requests that are in flight at providers at the same time. */
export interface ConnectionLimits {
  /** Of all teams together. Default 2 048. */
  maxConnections?: number;
  /** Of one team. Default 256. */
  maxConnectionsPerTeam?: number;
  /** Requests of one team that wait for a connection. Default 256. */
  maxQueuedPerTeam?: number;
  /** Milliseconds that a request waits for a connection. Default 10 000. */
  queueTimeoutMs?: number;
}

/** How names are looked up. */
export interface NameOptions {
  /** A look-up of the operator's own; its answers are not kept. */
  lookup?: Lookup;
  /** `dns`, the default: the name servers, over sockets. `system`: `dns.lookup`, on the threads of libuv. */
  resolver?: 'dns' | 'system';
  /** Until the name is looked up, the socket connected and TLS agreed on. Default 10 000. */
  connectTimeoutMs?: number;
  places?: DnsPlaces;
}

export function connectionSlots(limits: ConnectionLimits = {}): TeamSlots {
  const { maxConnections = 2_048, maxConnectionsPerTeam = 256, maxQueuedPerTeam = 256 } = limits;
  return new TeamSlots({
    total: maxConnections,
    perTeam: maxConnectionsPerTeam,
    queuedPerTeam: maxQueuedPerTeam,
    queueTimeoutMs: limits.queueTimeoutMs ?? 10_000,
    refusal(perTeamReached) {
      if (!perTeamReached) {
        const message = 'The router already has as many calls in flight as it may. Retry.';
        return new RouterError('overloaded', message, { retryAfter: 1 });
      }
      const message = `The team already has ${maxConnectionsPerTeam} calls in flight, which is its limit. Retry when one of them has ended.`;
      return new RouterError('rate_limit_exceeded', message, { retryAfter: 1 });
    },
  });
}

/** libuv gives half of its four threads to look-ups, so one team may hold one of them. */
const onThreads = { total: 2, perTeam: 1 };
const onSockets = { total: 256, perTeam: 16 };

export function makeNames(options: NameOptions = {}): LookupNames {
  const { lookup, resolver, connectTimeoutMs = defaultConnectTimeoutMs, places } = options;
  // A look-up that waits is refused before the time to connect is over, so the provider is not blamed for the queue.
  const queueTimeoutMs = Math.ceil(connectTimeoutMs / 2);
  if (lookup !== undefined)
    return new Names(lookupSource(lookup, connectTimeoutMs), { ...onSockets, queueTimeoutMs, cached: false })
      .lookup;
  if (resolver === 'system')
    return new Names(systemSource, { ...onThreads, queueTimeoutMs, cached: true }).lookup;
  return new Names(dnsSource(places), { ...onSockets, queueTimeoutMs, cached: true }).lookup;
}

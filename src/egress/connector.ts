import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { rootCertificates } from 'node:tls';
import { buildConnector } from 'undici';
import { RouterError } from '../errors.ts';
import type { Destination } from './allow-list.ts';
import type { EgressPolicy } from './guard.ts';

/** As `dns.lookup`: answers with all addresses of a name. */
export type Lookup = (
  hostname: string,
  options: { all: true },
  callback: (error: Error | null, addresses: LookupAddress[]) => void,
) => void;

export interface ConnectorOptions {
  policy: EgressPolicy;
  /** Default: the system's. */
  lookup?: Lookup;
  /** A certificate authority of the operator's own, in PEM, beside the well-known ones. */
  ca?: string;
  /** Until the name is looked up, the socket connected and TLS agreed on. Default 10 000. */
  connectTimeoutMs?: number;
  /** Makes the connection once its address is judged. Default: undici's. */
  dial?: typeof buildConnector;
}

/**
 * A connector for one origin that judges where it goes three times: an IP literal before it is dialled (it never
 * reaches a look-up), every address of a DNS answer, and the address that the socket ended up with.
 */
export function guardedConnector(
  destination: Destination,
  options: ConnectorOptions,
): buildConnector.connector {
  const { policy, ca, connectTimeoutMs, dial = buildConnector } = options;
  const allowed = (address: string) => policy.allowsAddress(destination, address);
  const connect = dial({
    timeout: connectTimeoutMs ?? 10_000,
    allowH2: false,
    // Said outright: NODE_TLS_REJECT_UNAUTHORIZED is only a default.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }),
    lookup: guardedLookup(options.lookup ?? systemLookup, allowed),
  });
  return (given, callback) => {
    if (isIP(destination.host) !== 0 && !allowed(destination.host)) {
      callback(denied(), null);
      return;
    }
    connect(given, (...[error, socket]: Parameters<typeof callback>) => {
      if (error !== null) return callback(error, null);
      const address = (socket as Socket).remoteAddress;
      if (address !== undefined && allowed(address)) return callback(null, socket as Socket);
      (socket as Socket).destroy();
      callback(denied(), null);
    });
  };
}

function guardedLookup(lookup: Lookup, allowed: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '', 0);
      const [first] = addresses;
      // One bad address among good ones is an attack, or will be one when the answer turns round.
      if (first === undefined || !addresses.every(({ address }) => allowed(address)))
        return callback(denied(), '', 0);
      if (options.all) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };
}

/** Says nothing of the address: a tenant could map a network by the answers. */
export function denied(): RouterError {
  return new RouterError('egress_denied', "The address of the model's host is not allowed.");
}

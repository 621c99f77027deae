import type { LookupAddress } from 'node:dns';
import { isIP, type Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { buildConnector, errors } from 'undici';
import { RouterError } from '../errors.ts';
import type { ConnectTarget } from './allow-list.ts';
import type { LookupNames } from './dns/names.ts';
import type { EgressPolicy } from './guard.ts';
import { defaultConnectTimeoutMs, makeNames, type NameOptions } from './limits.ts';
import { dialAddresses } from './sockets/dial-addresses.ts';
import { letEndWhilePaused } from './sockets/paused-parser.ts';
import { secureContextFor } from './sockets/secure-context.ts';
import type { TeamKey } from './team-slots.ts';

/** A host to which the router refused to connect. */
export interface RefusedHost {
  teamId: TeamKey;
  host: string;
  /** `address_not_allowed`, or the code of a DNS error such as `ENOTFOUND`. */
  reason: string;
}

export type { Lookup } from './dns/dns-source.ts';

export interface ConnectorOptions extends NameOptions {
  policy: EgressPolicy;
  /** Resolves host names. Default: a resolver for this connector alone, created from these options. */
  names?: LookupNames;
  /** A certificate authority in PEM, trusted in addition to the well-known ones. */
  ca?: string;
  /** Opens the connection to a checked address. Default: undici's connector. */
  dial?: typeof buildConnector;
  /** Receives the reason of a refusal. The reason is for the operator, so the team's error omits it. */
  onRefused?: (host: RefusedHost) => void;
}

/**
 * Connects for a team's request. Returns a function that cancels the connection attempt, and has no effect
 * afterwards.
 */
export type GuardedConnector = (
  connectOptions: buildConnector.Options,
  callback: buildConnector.Callback,
  team: TeamKey,
) => () => void;

/**
 * Creates a connector for one origin. Checks the target three times: an IP literal before it is dialled (without
 * DNS), every address of a DNS answer, and the remote address of the connected socket. TLS begins after the third
 * check.
 */
export function guardedConnector(destination: ConnectTarget, options: ConnectorOptions): GuardedConnector {
  const {
    policy,
    ca,
    connectTimeoutMs = defaultConnectTimeoutMs,
    dial = buildConnector,
    onRefused,
  } = options;
  const names = options.names ?? makeNames(options);
  const allowed = (address: string) => policy.allowsAddress(destination, address);
  const dialWith = (more: { secureContext?: SecureContext }) =>
    dial({
      timeout: connectTimeoutMs,
      allowH2: false,
      // Set explicitly, because NODE_TLS_REJECT_UNAUTHORIZED=0 changes the default.
      rejectUnauthorized: true,
      ...more,
    }) as (...args: Parameters<buildConnector.connector>) => Socket | undefined;
  const connect = dialWith({});
  let secure = ca === undefined ? connect : undefined;
  const beginTls = (...args: Parameters<buildConnector.connector>) => {
    // At the first connection, because a context with an authority takes long to create.
    secure ??= dialWith(ca === undefined ? {} : { secureContext: secureContextFor(ca) });
    secure(...args);
  };

  // undici's connector takes the default port of its `protocol`, which is http: for the TCP connection of https too.
  const port = String(destination.port);

  return (connectOptions, callback, team) => {
    let stop = () => {};
    let finished = false;
    const finish: buildConnector.Callback = (...[error, socket]: Parameters<buildConnector.Callback>) => {
      if (finished) {
        socket?.destroy();
        return;
      }
      finished = true;
      clearTimeout(timer);
      if (error === null) {
        letEndWhilePaused(socket as Socket);
        return callback(null, socket as Socket);
      }
      stop();
      callback(error, null);
    };
    const fail = (error: Error) => finish(error, null);
    const timer = setTimeout(
      () => fail(new errors.ConnectTimeoutError('Connect Timeout Error')),
      connectTimeoutMs,
    );

    const refuse = (reason: string) => {
      onRefused?.({ teamId: team, host: destination.host, reason });
      fail(isIP(destination.host) === 0 ? unknownHost() : denied());
    };
    const checkConnected = (error: Error | null, socket: Socket | null) => {
      if (socket === null) return fail(error ?? new Error('not connected'));
      const address = socket.remoteAddress;
      if (address === undefined || !allowed(address)) {
        socket.destroy();
        return refuse('address_not_allowed');
      }
      if (destination.scheme === 'http') return finish(null, socket);
      stop = () => socket.destroy();
      beginTls({ ...connectOptions, httpSocket: socket }, finish);
    };
    const dialAll = (addresses: readonly LookupAddress[]) => {
      if (finished) return;
      // A single forbidden address refuses the whole answer, because the order of addresses in DNS answers changes.
      if (addresses.length === 0 || !addresses.every(({ address }) => allowed(address)))
        return refuse('address_not_allowed');
      stop = dialAddresses(
        addresses,
        (address, dialled) =>
          connect({ ...connectOptions, protocol: 'http:', hostname: address, port }, (...[error, socket]) =>
            dialled(error, socket ?? null),
          ),
        checkConnected,
      );
    };

    const family = isIP(destination.host);
    if (family !== 0) dialAll([{ address: destination.host, family }]);
    else {
      let answered = false;
      const stopLookup = names(destination.host, team, (error, addresses) => {
        answered = true;
        if (error === null) return dialAll(addresses);
        const { code } = error as { code?: unknown };
        if (code === 'ENOTFOUND' || code === 'ENODATA') refuse(code);
        else fail(error);
      });
      if (!answered) stop = stopLookup;
    }
    return () => fail(new errors.ClientDestroyedError());
  };
}

/** Creates the error for a forbidden IP literal. Omits the reason, because a tenant could map a network with it. */
export function denied(): RouterError {
  return new RouterError(
    'egress_denied',
    "The address of the model's host is not allowed. Check its api_base.",
  );
}

/**
 * Creates the error for a host name. The text is the same for an unknown name and for a forbidden address, because a
 * tenant could otherwise list the names of an internal zone.
 */
function unknownHost(): RouterError {
  const message = 'The host name of the model does not resolve to an allowed address. Check its api_base.';
  return new RouterError('egress_denied', message);
}

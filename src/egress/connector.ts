import type { LookupAddress } from 'node:dns';
import { isIP, type Socket } from 'node:net';
import { rootCertificates } from 'node:tls';
import { buildConnector, errors } from 'undici';
import { RouterError } from '../errors.ts';
import type { ConnectTarget } from './allow-list.ts';
import { dialAddresses } from './dial-addresses.ts';
import type { LookupNames } from './dns/names.ts';
import type { EgressPolicy } from './guard.ts';
import { defaultConnectTimeoutMs, makeNames, type NameOptions } from './limits.ts';
import { letEndWhilePaused } from './paused-parser.ts';
import type { TeamKey } from './team-slots.ts';

/** Why no connection is made to a host. */
export interface RefusedHost {
  teamId: TeamKey;
  host: string;
  /** `address_not_allowed`, or the code of a name that does not resolve, such as `ENOTFOUND`. */
  reason: string;
}

export type { Lookup } from './dns/dns-source.ts';

export interface ConnectorOptions extends NameOptions {
  policy: EgressPolicy;
  /** Looks names up. Default: by the options of this connector, for this connector alone. */
  names?: LookupNames;
  /** A certificate authority of the operator's own, in PEM, beside the well-known ones. */
  ca?: string;
  /** Makes the connection once its address is judged. Default: undici's. */
  dial?: typeof buildConnector;
  /** Hears why a host was refused, which its team does not. */
  onRefused?: (host: RefusedHost) => void;
}

/** Connects for a team's request. What it returns stops it, and does nothing once it is connected. */
export type GuardedConnector = (
  given: buildConnector.Options,
  callback: buildConnector.Callback,
  team: TeamKey,
) => () => void;

/**
 * Creates a connector for one origin that judges where it goes three times: an IP literal before it is dialled (it never
 * reaches a look-up), every address of a DNS answer, and the address that the socket ended up with. TLS begins after that.
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
  const connect = dial({
    timeout: connectTimeoutMs,
    allowH2: false,
    // Said outright: NODE_TLS_REJECT_UNAUTHORIZED is only a default.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }),
  }) as (...given: Parameters<buildConnector.connector>) => Socket | undefined;

  return (given, callback, team) => {
    let stop = () => {};
    let over = false;
    const finish: buildConnector.Callback = (...[error, socket]: Parameters<buildConnector.Callback>) => {
      if (over) {
        socket?.destroy();
        return;
      }
      over = true;
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
    const agree = (error: Error | null, socket: Socket | null) => {
      if (socket === null) return fail(error ?? new Error('not connected'));
      const address = socket.remoteAddress;
      if (address === undefined || !allowed(address)) {
        socket.destroy();
        return refuse('address_not_allowed');
      }
      if (destination.scheme === 'http') return finish(null, socket);
      stop = () => socket.destroy();
      connect({ ...given, httpSocket: socket }, finish);
    };
    const reach = (addresses: readonly LookupAddress[]) => {
      if (over) return;
      // One bad address among good ones is an attack, or will be one when the answer turns round.
      if (addresses.length === 0 || !addresses.every(({ address }) => allowed(address)))
        return refuse('address_not_allowed');
      stop = dialAddresses(
        addresses,
        (address, dialled) =>
          connect({ ...given, protocol: 'http:', hostname: address }, (...[error, socket]) =>
            dialled(error, socket ?? null),
          ),
        agree,
      );
    };

    const family = isIP(destination.host);
    if (family !== 0) reach([{ address: destination.host, family }]);
    else {
      let known = false;
      const stopLookup = names(destination.host, team, (error, addresses) => {
        known = true;
        if (error === null) return reach(addresses);
        const { code } = error as { code?: unknown };
        if (code === 'ENOTFOUND' || code === 'ENODATA') refuse(code);
        else fail(error);
      });
      if (!known) stop = stopLookup;
    }
    return () => fail(new errors.ClientDestroyedError());
  };
}

/** Says nothing of the address: a tenant could map a network by the answers. */
export function denied(): RouterError {
  return new RouterError('egress_denied', "The address of the model's host is not allowed.");
}

/** The same whether a name does not exist or its addresses are not allowed: a tenant could list an internal zone. */
function unknownHost(): RouterError {
  const message =
    "The name of the model's host does not resolve to an address that may be called. Check its api_base.";
  return new RouterError('egress_denied', message);
}

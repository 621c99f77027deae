import { isIP } from 'node:net';
import { isPublic } from './address.ts';
import { AllowList, type ConnectTarget } from './allow-list.ts';

export interface PolicyOptions {
  /** Exceptions on top, for the operator's shared deployments alone. */
  allowShared?: readonly string[];
  /** The ports of public addresses that may be connected to. Default: 443. */
  ports?: readonly number[];
}

/** The same whatever is refused, so that it tells of no address; only the operator can do something about it. */
const exceptions = 'ask the operator of this service to allow it';

/** Which addresses our process may connect to: public ones over https on the given ports, and the operator's exceptions. */
export class EgressPolicy {
  readonly #allow: AllowList;
  readonly #ports: readonly number[];

  constructor(allow: readonly string[], { allowShared = [], ports = [443] }: PolicyOptions) {
    this.#allow = new AllowList(allow, allowShared);
    this.#ports = ports;
  }

  /** Why a URL is refused, as far as that is known without DNS; `undefined` if it is not. */
  checkUrl(url: URL): string | undefined {
    if (url.username !== '' || url.password !== '') return 'must not carry credentials';
    const destination = destinationOf(url);
    if (destination === undefined) return 'must be an http or https URL with a host';
    const reason = this.#refusal(destination);
    return reason === undefined ? undefined : `${reason}; ${exceptions}`;
  }

  #refusal(destination: ConnectTarget): string | undefined {
    if (this.#allow.allowsHost(destination)) return undefined;
    const named = isIP(destination.host) === 0;
    if (named && isLocalName(destination.host)) return 'names this host itself, which is not allowed';
    if (named && this.#allow.mayAllow(destination)) return undefined;
    if (destination.scheme === 'http') return 'must use https';
    if (!this.#ports.includes(destination.port)) return `port ${destination.port} is not allowed`;
    return named || isPublic(destination.host) ? undefined : 'the address is not a public one';
  }

  /** Whether a connection may be made to `address`, which is what the host of `destination` is, or resolves to. */
  allowsAddress(destination: ConnectTarget, address: string): boolean {
    if (this.#allow.allowsHost(destination) || this.#allow.allowsAddress(destination, address)) return true;
    return destination.scheme === 'https' && this.#ports.includes(destination.port) && isPublic(address);
  }
}

/** @throws RouterError `invalid_request` that names the entry at fault */
export function compilePolicy(allow: readonly string[], options: PolicyOptions = {}): EgressPolicy {
  return new EgressPolicy(allow, options);
}

/** What a URL connects to. `new URL` has made one spelling of all those that an IPv4 address has. */
export function destinationOf(url: URL): ConnectTarget | undefined {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  const scheme = url.protocol === 'http:' ? 'http' : 'https';
  const host = url.hostname
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
  // A name with an empty part has no meaning in DNS, and one in libraries: `017700000001..` is an address to some.
  if (host.split('.').includes('')) return undefined;
  return { scheme, host, port: url.port === '' ? (scheme === 'http' ? 80 : 443) : Number(url.port) };
}

function isLocalName(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === 'localhost.localdomain';
}

import { isIP } from 'node:net';
import { isPublic } from './address.ts';
import { AllowList, type ConnectTarget } from './allow-list.ts';

export interface PolicyOptions {
  /** Additional exceptions for the operator's shared deployments. */
  allowShared?: readonly string[];
  /** Allowed ports of public addresses. Default: 443. */
  ports?: readonly number[];
}

/**
 * Same advice for every refusal, because only the operator can allow a target and the text must not describe
 * addresses.
 */
const exceptions = 'Ask the operator of this service to allow it.';

/**
 * Decides to which targets the process may connect: public addresses over HTTPS on the allowed ports, and the
 * operator's exceptions.
 */
export class EgressPolicy {
  readonly #allow: AllowList;
  readonly #ports: readonly number[];

  constructor(allow: readonly string[], { allowShared = [], ports = [443] }: PolicyOptions) {
    this.#allow = new AllowList(allow, allowShared);
    this.#ports = ports;
  }

  /** Returns the reason to refuse a URL without a DNS query; `undefined` if the URL is not refused. */
  checkUrl(url: URL): string | undefined {
    if (url.username !== '' || url.password !== '') return 'must not contain credentials.';
    const destination = destinationOf(url);
    if (destination === undefined) return 'must be an http or https URL with a host.';
    const reason = this.#refusal(destination);
    return reason === undefined ? undefined : `${reason}. ${exceptions}`;
  }

  #refusal(destination: ConnectTarget): string | undefined {
    if (this.#allow.allowsHost(destination)) return undefined;
    const named = isIP(destination.host) === 0;
    if (named && isLocalName(destination.host)) return 'must not name the local host';
    if (named && this.#allow.mayAllow(destination)) return undefined;
    if (destination.scheme === 'http') return 'must use https';
    if (!this.#ports.includes(destination.port)) return `port ${destination.port} is not allowed`;
    return named || isPublic(destination.host) ? undefined : 'address must be public';
  }

  /** Returns whether the router may connect to `address`, an address of the host of `destination`. */
  allowsAddress(destination: ConnectTarget, address: string): boolean {
    if (this.#allow.allowsHost(destination) || this.#allow.allowsAddress(destination, address)) return true;
    return destination.scheme === 'https' && this.#ports.includes(destination.port) && isPublic(address);
  }
}

/**
 * Compiles the egress policy from the operator's options.
 *
 * @throws RouterError `invalid_request` that names the invalid entry
 */
export function compilePolicy(allow: readonly string[], options: PolicyOptions = {}): EgressPolicy {
  return new EgressPolicy(allow, options);
}

/**
 * Returns the target of a URL; `undefined` if it is not an HTTP URL with a valid host. `new URL` has already
 * normalised every spelling of an IPv4 address.
 */
export function destinationOf(url: URL): ConnectTarget | undefined {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  const scheme = url.protocol === 'http:' ? 'http' : 'https';
  const host = url.hostname
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
  // DNS has no name with an empty label, but some libraries read `017700000001..` as an address.
  if (host.split('.').includes('')) return undefined;
  return { scheme, host, port: url.port === '' ? (scheme === 'http' ? 80 : 443) : Number(url.port) };
}

function isLocalName(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === 'localhost.localdomain';
}

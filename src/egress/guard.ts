import { isIP } from 'node:net';
import { isPublic } from './address.ts';
import { AllowList, type Destination } from './allow-list.ts';

/** Which addresses our process may connect to: public ones over https on port 443, and the operator's exceptions. */
export class EgressPolicy {
  readonly #allow: AllowList;

  constructor(allow: readonly string[], allowShared: readonly string[]) {
    this.#allow = new AllowList(allow, allowShared);
  }

  /** Why a URL is refused, as far as that is known without DNS; `undefined` if it is not. */
  checkUrl(url: URL): string | undefined {
    if (url.username !== '' || url.password !== '') return 'must not carry credentials';
    const destination = destinationOf(url);
    if (destination === undefined) return 'must be an http or https URL with a host';
    if (this.#allow.allowsHost(destination)) return undefined;
    const named = isIP(destination.host) === 0;
    if (named && isLocalName(destination.host)) return 'names this host itself, which is not allowed';
    if (named && this.#allow.mayAllow(destination)) return undefined;
    if (destination.scheme === 'http') return 'must use https';
    if (destination.port !== 443) return `port ${destination.port} is not allowed`;
    return named || isPublic(destination.host) ? undefined : 'the address is not a public one';
  }

  /** Whether a connection may be made to `address`, which is what the host of `destination` is, or resolves to. */
  allowsAddress(destination: Destination, address: string): boolean {
    if (this.#allow.allowsHost(destination) || this.#allow.allowsAddress(destination, address)) return true;
    return destination.scheme === 'https' && destination.port === 443 && isPublic(address);
  }
}

/** @param allowShared exceptions on top, for the operator's shared deployments alone */
export function compilePolicy(allow: readonly string[], allowShared: readonly string[] = []): EgressPolicy {
  return new EgressPolicy(allow, allowShared);
}

/** What a URL connects to. `new URL` has made one spelling of all those that an IPv4 address has. */
export function destinationOf(url: URL): Destination | undefined {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  const scheme = url.protocol === 'http:' ? 'http' : 'https';
  const host = url.hostname
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.+$/, '');
  if (host === '') return undefined;
  return { scheme, host, port: url.port === '' ? (scheme === 'http' ? 80 : 443) : Number(url.port) };
}

function isLocalName(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === 'localhost.localdomain';
}

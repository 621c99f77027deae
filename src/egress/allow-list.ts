import { type BlockList, isIP } from 'node:net';
import { RouterError } from '../errors.ts';
import { blockList, unmap } from './address.ts';

/** One exception that the operator configured. */
interface AllowedTarget {
  /** Whether plain HTTP is allowed. */
  http: boolean;
  /** `undefined`: every port. */
  port: number | undefined;
  /** A host name, or `.suffix` for every name that ends with it. */
  host?: string;
  addresses?: BlockList;
}

/** Scheme, host and port of a connection. */
export interface ConnectTarget {
  scheme: 'http' | 'https';
  /** A lower-case name without a trailing dot, or an IP address without brackets. */
  host: string;
  port: number;
}

/**
 * The operator's exceptions to the egress policy.
 *
 * An entry is `host`, `*.suffix`, `host:port`, a CIDR block or `CIDR:port`. A leading `http://` also allows plain
 * HTTP.
 */
export class AllowList {
  readonly #entries: readonly AllowedTarget[];

  /** @throws RouterError `invalid_request` that names the invalid entry */
  constructor(allow: readonly string[], allowShared: readonly string[]) {
    this.#entries = [
      ...parseEntries(allow, 'egress.allow'),
      ...parseEntries(allowShared, 'egress.allowShared'),
    ];
  }

  /**
   * Returns whether an entry names the host, so that the router connects to whatever address the name resolves to.
   */
  allowsHost(destination: ConnectTarget): boolean {
    return this.#entries.some((entry) => fits(entry, destination) && matchesHost(entry, destination.host));
  }

  /** Returns whether an allowed block contains the address, for this scheme and port. */
  allowsAddress(destination: ConnectTarget, address: string): boolean {
    return this.#entries.some((entry) => fits(entry, destination) && matchesAddress(entry, address));
  }

  /** Returns whether a block exists for this scheme and port, so that the decision needs the resolved address. */
  mayAllow(destination: ConnectTarget): boolean {
    return this.#entries.some((entry) => entry.addresses !== undefined && fits(entry, destination));
  }
}

function fits(entry: AllowedTarget, { scheme, port }: ConnectTarget): boolean {
  return (scheme === 'https' || entry.http) && (entry.port === undefined || entry.port === port);
}

function matchesHost(entry: AllowedTarget, host: string): boolean {
  if (entry.host === undefined) return matchesAddress(entry, host);
  return entry.host.startsWith('.') ? host.endsWith(entry.host) && host !== entry.host : host === entry.host;
}

function matchesAddress(entry: AllowedTarget, address: string): boolean {
  const plain = unmap(address);
  const family = isIP(plain);
  if (entry.addresses === undefined || family === 0 || plain.includes('%')) return false;
  return entry.addresses.check(plain, family === 4 ? 'ipv4' : 'ipv6');
}

/** Returns the problem of an allow-list entry; `undefined` if the entry is valid. */
export function entryProblem(text: string): string | undefined {
  const entry = parseEntry(text);
  return typeof entry === 'string' ? entry : undefined;
}

function parseEntries(entries: readonly string[], param: string): AllowedTarget[] {
  return entries.map((text, index) => {
    const entry = parseEntry(text);
    if (typeof entry === 'string') throw invalidField(`${param}[${index}]`, entry);
    return entry;
  });
}

/** Returns the target of an entry, or the problem of an invalid entry. */
function parseEntry(text: string): AllowedTarget | string {
  const match = /^(https?:\/\/)?(.+)$/i.exec(text.trim().toLowerCase());
  const http = match?.[1] === 'http://';
  const { host, port } = splitPort(match?.[2] ?? '');
  if (port !== undefined && (port < 1 || port > 65_535)) return 'port must be between 1 and 65535';
  const [address = '', prefix] = host.split('/');
  if (isIP(address) !== 0) {
    const bits = isIP(address) === 4 ? 32 : 128;
    if (prefix !== undefined && !(/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits)) {
      return 'must be a CIDR block';
    }
    return { http, port, addresses: blockList([host]) };
  }
  const name = host.startsWith('*.') ? host.slice(1) : host;
  if (
    !/^\.?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/.test(name) ||
    /^[\d.]+$/.test(name)
  ) {
    const forms =
      'a host, *.suffix, host:port, a CIDR block or CIDR:port, with http:// in front to allow plain HTTP';
    return `must be ${forms}. Received ${JSON.stringify(text.slice(0, 256))}`;
  }
  if (host.startsWith('.')) return 'must be written as *.suffix';
  return { http, port, host: name };
}

/** Splits `host:port`, `[v6]:port`, `[v6/bits]:port`, or a bare IPv6 address or block. */
function splitPort(text: string): { host: string; port: number | undefined } {
  const bracketed = /^\[([^\]]+)\](\/\d+)?(?::(\d+))?$/.exec(text);
  if (bracketed !== null) return { host: `${bracketed[1]}${bracketed[2] ?? ''}`, port: portOf(bracketed[3]) };
  if (isIP(text.split('/')[0] ?? '') === 6) return { host: text, port: undefined };
  const plain = /^(.*?)(?::(\d+))?$/.exec(text);
  return { host: plain?.[1] ?? '', port: portOf(plain?.[2]) };
}

function portOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

function invalidField(param: string, message: string): RouterError {
  return new RouterError('invalid_request', `${param}: ${message}.`, { param });
}

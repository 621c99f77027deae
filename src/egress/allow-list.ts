import { type BlockList, isIP } from 'node:net';
import { RouterError } from '../errors.ts';
import { blockList, unmap } from './address.ts';

/** One exception that the operator makes. */
interface AllowedTarget {
  /** Whether plain http will do. */
  http: boolean;
  /** Absent: every port. */
  port: number | undefined;
  /** A host's name, or `.suffix` for every name that ends with it. */
  host?: string;
  addresses?: BlockList;
}

/** Where a connection is to go. */
export interface ConnectTarget {
  scheme: 'http' | 'https';
  /** A name in lower case without a trailing dot, or an IP address without brackets. */
  host: string;
  port: number;
}

/** The operator's exceptions: `host`, `*.suffix`, `host:port`, a CIDR, `CIDR:port`, each with `http://` in front if plain http will do. */
export class AllowList {
  readonly #entries: readonly AllowedTarget[];

  /** @throws RouterError `invalid_request` that names the entry at fault */
  constructor(allow: readonly string[], allowShared: readonly string[]) {
    this.#entries = [
      ...parseEntries(allow, 'egress.allow'),
      ...parseEntries(allowShared, 'egress.allowShared'),
    ];
  }

  /** Whether the host itself is named, so that it is trusted whatever its name resolves to. */
  allowsHost(destination: ConnectTarget): boolean {
    return this.#entries.some((entry) => fits(entry, destination) && matchesHost(entry, destination.host));
  }

  /** Whether an address lies in a block that is allowed for this scheme and port. */
  allowsAddress(destination: ConnectTarget, address: string): boolean {
    return this.#entries.some((entry) => fits(entry, destination) && matchesAddress(entry, address));
  }

  /** Whether some block is allowed for this scheme and port, so that it is for the address to decide. */
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

/** What is wrong with an entry of the operator's exceptions, if anything is. */
export function entryProblem(text: string): string | undefined {
  try {
    parseEntry(text, '');
    return undefined;
  } catch (error) {
    return (error as RouterError).message.trim();
  }
}

function parseEntries(entries: readonly string[], param: string): AllowedTarget[] {
  return entries.map((text, index) => parseEntry(text, `${param}[${index}]`));
}

function parseEntry(text: string, param: string): AllowedTarget {
  const match = /^(https?:\/\/)?(.+)$/i.exec(text.trim().toLowerCase());
  const http = match?.[1] === 'http://';
  const { host, port } = splitPort(match?.[2] ?? '');
  if (port !== undefined && (port < 1 || port > 65_535))
    throw invalidField(param, 'has a port that does not exist');
  const [address = '', prefix] = host.split('/');
  if (isIP(address) !== 0) {
    const bits = isIP(address) === 4 ? 32 : 128;
    if (prefix !== undefined && !(/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits)) {
      throw invalidField(param, 'is not a CIDR block');
    }
    return { http, port, addresses: blockList([host]) };
  }
  const name = host.startsWith('*.') ? host.slice(1) : host;
  if (
    !/^\.?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/.test(name) ||
    /^[\d.]+$/.test(name)
  ) {
    const forms =
      'a host, *.suffix, host:port, a CIDR block or CIDR:port, with http:// in front if plain http will do';
    throw invalidField(param, `must be ${forms}; it is ${JSON.stringify(text.slice(0, 256))}`);
  }
  if (host.startsWith('.')) throw invalidField(param, 'must be written *.suffix');
  return { http, port, host: name };
}

/** `host:port`, `[v6]:port`, `[v6/bits]:port`, or a bare IPv6 address or block, whose colons are its own. */
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
  return new RouterError('invalid_request', `${param} ${message}`, { param });
}

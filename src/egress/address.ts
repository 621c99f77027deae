import { BlockList, isIP } from 'node:net';
import { globalV6, specialAddresses } from './special-addresses.ts';

const special = blockList(specialAddresses.map(([block]) => block));
const global = blockList([globalV6]);

/**
 * Returns whether an address belongs to the public Internet. Returns `false` for any text that is not an IP address.
 */
export function isPublic(address: string): boolean {
  const plain = unmap(address);
  if (isIP(plain) === 4) return !special.check(plain, 'ipv4');
  if (isIP(plain) !== 6 || plain.includes('%')) return false;
  const translated = embedded(plain, '64:ff9b:0:0:0:0:');
  if (translated !== undefined) return isPublic(translated);
  return global.check(plain, 'ipv6') && !special.check(plain, 'ipv6');
}

/**
 * Returns the IPv4 address inside `::ffff:a.b.c.d`, which reaches the same host. Returns any other address unchanged.
 */
export function unmap(address: string): string {
  return embedded(address, '0:0:0:0:0:ffff:') ?? address;
}

/**
 * Compiles CIDR blocks and single addresses.
 *
 * @throws the error of `BlockList` for an invalid block
 */
export function blockList(blocks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const block of blocks) {
    const [address = '', prefix] = block.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return list;
}

/** Returns the IPv4 address in the last 32 bits of an IPv6 address whose first six groups are `prefix`. */
function embedded(address: string, prefix: string): string | undefined {
  if (isIP(address) !== 6 || address.includes('%')) return undefined;
  const groups = expand(address);
  if (
    !groups
      .map((group) => `${group.toString(16)}:`)
      .join('')
      .startsWith(prefix)
  )
    return undefined;
  const [high = 0, low = 0] = groups.slice(6);
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** Returns the eight groups of a valid IPv6 address. */
function expand(address: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const text =
    dotted === null ? address : `${dotted[1]}${pair(dotted[2], dotted[3])}:${pair(dotted[4], dotted[5])}`;
  const [left = '', right] = text.split('::');
  const head = left === '' ? [] : left.split(':');
  const tail = right === undefined || right === '' ? [] : right.split(':');
  const zeros = right === undefined ? [] : Array<string>(8 - head.length - tail.length).fill('0');
  return [...head, ...zeros, ...tail].map((group) => Number.parseInt(group, 16));
}

function pair(high = '0', low = '0'): string {
  return (Number(high) * 256 + Number(low)).toString(16);
}

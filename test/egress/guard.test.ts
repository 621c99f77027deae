import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { isPublic } from '../../src/egress/address.ts';
import { compilePolicy, destinationOf } from '../../src/egress/guard.ts';
import { specialAddresses } from '../../src/egress/special-addresses.ts';
import { runs } from '../support/runs.ts';

const policy = compilePolicy([]);

it.each(specialAddresses)('%s (%s) is not public, from its first address to its last', (block) => {
  for (const address of ends(block)) expect(isPublic(address), address).toBe(false);
});

it('checks addresses next to a special block separately', () => {
  const outside = [
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
  ];
  const more = ['168.63.129.15', '168.63.129.17', '172.32.0.0', '192.0.1.0', '198.20.0.0', '223.255.255.255'];
  const v6 = [
    '2001:200::',
    '2001:db7:ffff::',
    '2001:db9::',
    '2003::',
    '2620:4f:8001::',
    '3ffe::',
    '2606:4700::1111',
  ];
  for (const address of [...outside, ...more, ...v6]) expect(isPublic(address), address).toBe(true);
});

test("the ports of public addresses are the operator's to choose, and those of others stay closed", () => {
  const wide = compilePolicy([], { ports: [443, 8443] });
  expect(wide.checkUrl(new URL('https://example.com:8443'))).toBeUndefined();
  for (const url of ['https://example.com:8444', 'http://example.com:8443', 'https://10.0.0.1:8443']) {
    expect(wide.checkUrl(new URL(url)), url).toEqual(expect.any(String));
  }
});

describe('exceptions', () => {
  it.each([
    ['llm.internal', 'https://llm.internal:8443', true],
    ['llm.internal', 'http://llm.internal', false],
    ['http://llm.internal', 'http://llm.internal:8000', true],
    ['llm.internal:8000', 'https://llm.internal:8000', true],
    ['llm.internal:8000', 'https://llm.internal:8001', false],
    ['llm.internal:8000', 'https://xllm.internal:8000', false],
    ['*.svc.cluster.local', 'https://a.svc.cluster.local:8000', true],
    ['*.svc.cluster.local', 'https://a.b.svc.cluster.local', true],
    ['*.svc.cluster.local', 'https://svc.cluster.local:8000', false],
    ['*.svc.cluster.local', 'https://evil-svc.cluster.local:8000', false],
    ['10.0.0.0/8', 'https://10.1.2.3:8000', true],
    ['10.0.0.0/8', 'http://10.1.2.3:8000', false],
    ['10.0.0.0/8', 'https://11.1.2.3:8000', false],
    ['10.0.0.0/8:8000', 'https://10.1.2.3:8000', true],
    ['10.0.0.0/8:8000', 'https://10.1.2.3:8001', false],
    ['10.0.0.0/8', 'https://[::ffff:10.1.2.3]:8000', true],
    ['[fd00::/8]:8000', 'https://[fd00::1]:8000', true],
    ['[fd00::/8]:8000', 'https://[fe80::1]:8000', false],
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080', true],
    ['http://127.0.0.1:8080', 'http://2130706433:8080', true],
    ['http://127.0.0.1:8080', 'http://127.0.0.2:8080', false],
  ])('%s: %s, %s', (entry, url, allowed) => {
    expect(compilePolicy([entry]).checkUrl(new URL(url)) === undefined).toBe(allowed);
  });

  it.each([
    '',
    '*',
    '*.',
    'https://',
    'a b',
    '10.0.0.0/33',
    'x:0',
    'x:99999',
    'a/b',
    '.internal',
    '1.2.3',
    'fd00::/129',
  ])('the entry %j is refused', (entry) => {
    expect(() => compilePolicy([entry])).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  });
});

test('an entry at fault is named by its list and place', () => {
  expect(() => compilePolicy(['a', '*'])).toThrow(expect.objectContaining({ param: 'egress.allow[1]' }));
  expect(() => compilePolicy(['a'], { allowShared: ['*'] })).toThrow(
    expect.objectContaining({ param: 'egress.allowShared[0]' }),
  );
});

test('an address and its mapped form are judged alike', () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      expect(isPublic(`::ffff:${address}`)).toBe(isPublic(address));
    }),
    { numRuns: runs(2_000) },
  );
});

test('every spelling of an IPv4 address has the verdict of its plain form', () => {
  const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255));
  fc.assert(
    fc.property(octets, fc.constantFrom(8, 10, 16), ([a, b, c, d], base) => {
      const write = (value: number) => (base === 8 ? '0' : base === 16 ? '0x' : '') + value.toString(base);
      const forms = [
        [a, b, c, d].map(write).join('.'),
        [a, b, c * 256 + d].map(write).join('.'),
        [a, (b * 256 + c) * 256 + d].map(write).join('.'),
        write(((a * 256 + b) * 256 + c) * 256 + d),
      ];
      for (const form of forms) {
        const url = new URL(`https://${form}/`);
        expect(destinationOf(url)?.host).toBe([a, b, c, d].join('.'));
        expect(policy.checkUrl(url) === undefined).toBe(isPublic([a, b, c, d].join('.')));
      }
    }),
    { numRuns: runs(2_000) },
  );
});

/** The first and the last address of a block. */
function ends(block: string): string[] {
  const [address = '', bits = ''] = block.split('/');
  const v6 = address.includes(':');
  const [size, count] = v6 ? [16n, 8] : [8n, 4];
  const parts = v6 ? groupsOf(address) : address.split('.').map(BigInt);
  const first = parts.reduce((sum, part) => (sum << size) | part, 0n);
  const last = first | ((1n << BigInt(Number(size) * count - Number(bits))) - 1n);
  const write = (value: bigint) =>
    Array.from(
      { length: count },
      (_, index) => (value >> (size * BigInt(count - 1 - index))) & ((1n << size) - 1n),
    )
      .map((part) => part.toString(v6 ? 16 : 10))
      .join(v6 ? ':' : '.');
  return [write(first), write(last)];
}

function groupsOf(address: string): bigint[] {
  const [head = '', tail = ''] = address.split('::');
  const [left, right] = [head, tail].map((text) => (text === '' ? [] : text.split(':')));
  const zeros = Array<string>(8 - (left?.length ?? 0) - (right?.length ?? 0)).fill('0');
  return [...(left ?? []), ...zeros, ...(right ?? [])].map((group) => BigInt(`0x${group}`));
}

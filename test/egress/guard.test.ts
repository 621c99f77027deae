import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { isPublic } from '../../src/egress/address.ts';
import { compilePolicy, destinationOf } from '../../src/egress/guard.ts';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from '../../src/index.ts';

const loopback = [
  '127.0.0.1',
  '127.1',
  '127.0.1',
  '0177.0.0.1',
  '0x7f.0.0.1',
  '0x7f000001',
  '2130706433',
  '017700000001',
];
const metadata = [
  '169.254.169.254',
  '0xa9fea9fe',
  '2852039166',
  '0251.0376.0251.0376',
  '169.254.43518',
  '169.16689662',
];
const hosts = [
  ...loopback,
  ...metadata,
  ...['127.255.255.254', '0', '0.0.0.0', '0.1.2.3', '10.0.0.1', '10.255.255.255', '012.0.0.1', '100.64.0.1', '100.100.100.200'],
  ...['100.127.255.255', '168.63.129.16', '172.16.0.1', '172.31.255.255', '192.0.0.1', '192.0.0.192', '192.0.2.1'],
  ...['192.88.99.1', '192.168.0.1', '192.168.255.255', '198.18.0.1', '198.19.255.255', '198.51.100.7', '203.0.113.9'],
  ...['224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255', '0xffffffff', '4294967295'],
  // Digits and dots that Unicode has more of.
  ...['１２７.0.0.1', '127。0。0。1', '①②⑦.0.0.1', '１６９.２５４.１６９.２５４'],
  ...['localhost', 'LOCALHOST', 'localhost.', 'a.localhost', 'A.LocalHost.', 'localhost.localdomain', 'ｌocalhost'],
  ...['127.0.0.1.', '2130706433.', '169.254.169.254.', '%31%32%37.0.0.1', '127%2e0%2e0%2e1'],
  ...[
    '::', '::1', '0:0:0:0:0:0:0:1', '0000:0000:0000:0000:0000:0000:0000:0001', '::127.0.0.1', '::7f00:1', '::2',
    '::ffff:127.0.0.1', '::ffff:7f00:1', '::FFFF:10.0.0.1', '::ffff:169.254.169.254', '::ffff:a9fe:a9fe',
    '::ffff:0:127.0.0.1', '64:ff9b::127.0.0.1', '64:ff9b::7f00:1', '64:ff9b::a9fe:a9fe', '64:ff9b:1::10.0.0.1',
    '100::1', '2001::1', '2001:0:7f00:1::', '2001:db8::1', '2001:10::1', '2001:20::1', '2002:7f00:1::',
    '2002:a9fe:a9fe::1', '2002:0a00:0001::', '3fff::1', '5f00::1', 'fc00::1', 'fd00:ec2::254', 'fd12:3456::1', 'fe80::1',
    'fe80::a9fe:a9fe', 'fec0::1', 'ff02::1', 'ff05::2', '2620:4f:8000::1', '::ffff:192.168.0.1', '::ffff:0.0.0.0',
  ].map((address) => `[${address}]`),
]; // biome-ignore format: a table
const urls = [
  ...hosts.map((host) => `https://${host}/v1`),
  'http://example.com/v1',
  'http://8.8.8.8',
  'https://example.com:80',
  'https://example.com:22',
  'https://example.com:6379',
  'https://8.8.8.8:8443',
  'https://user@example.com',
  'https://user:password@example.com',
  'https://example.com@127.0.0.1',
  'https://8.8.8.8@169.254.169.254/',
  'file:///etc/passwd',
  'ftp://example.com',
  'gopher://127.0.0.1',
  'unix:/var/run/docker.sock',
  'data:text/plain,x',
  'javascript:0',
  'ws://example.com',
  'https:///',
];

const policy = compilePolicy([]);

test('the table is a long one', () => {
  expect(new Set(urls).size).toBeGreaterThanOrEqual(100);
});

it.each(urls)('%s is refused by the policy, and when a team adds it', async (url) => {
  if (URL.canParse(url)) expect(policy.checkUrl(new URL(url))).toEqual(expect.any(String));
  const storage = memoryStorage();
  const router = new TeamModelRouter({ storage, encryptionKeys: [generateEncryptionKey()] });
  const added = router.addModel('acme', {
    model_name: 'm',
    litellm_params: { model: 'hosted_vllm/m', api_key: 'sk-0123456789abcdef', api_base: url },
  });
  await expect(added).rejects.toMatchObject({
    code: expect.stringMatching(/^(api_base_not_allowed|invalid_request)$/),
    param: 'litellm_params.api_base',
  });
  expect((await storage.list('', { limit: 10 })).entries).toEqual([]);
  await router.close();
});

it.each([
  'https://example.com',
  'https://8.8.8.8/v1',
  'https://[2606:4700::1111]/v1',
  'https://EXAMPLE.com.:443/x',
])('%s is allowed', (url) => {
  expect(policy.checkUrl(new URL(url))).toBeUndefined();
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
  expect(() => compilePolicy(['a'], ['*'])).toThrow(
    expect.objectContaining({ param: 'egress.allowShared[0]' }),
  );
});

test('an address and its mapped form are judged alike', () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      expect(isPublic(`::ffff:${address}`)).toBe(isPublic(address));
    }),
    { numRuns: 2_000 },
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
    { numRuns: 2_000 },
  );
});

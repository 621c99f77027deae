import { describe, expect, it } from 'vitest';
import { blockList, isPublic, unmap } from '../../src/egress/address.ts';
import { AllowList, type ConnectTarget, entryProblem } from '../../src/egress/allow-list.ts';
import { compilePolicy, destinationOf } from '../../src/egress/guard.ts';

const target = (host: string, port = 443, scheme: ConnectTarget['scheme'] = 'https'): ConnectTarget => ({
  scheme,
  host,
  port,
});

const ask = 'Ask the operator of this service to allow it.';
const forms =
  'a host, *.suffix, host:port, a CIDR block or CIDR:port, with http:// in front to allow plain HTTP';

describe('entryProblem', () => {
  it.each([
    'llm.internal',
    'LLM.Internal',
    ' llm.internal ',
    'a_b.internal',
    'a-b.internal',
    '_svc.internal',
    'svc_.internal',
    'a',
    '*.internal',
    'http://llm.internal',
    'https://llm.internal',
    'HTTP://llm.internal:80',
    'x:1',
    'x:65535',
    '10.0.0.0/0',
    '10.0.0.0/32',
    'fd00::/128',
    'fd00::1',
    '[fd00::1]',
    '[fd00::1]:443',
    '[fd00::/8]:443',
    '[fd00::]/8:443',
    '[fd00::]/16:443',
    'a.b',
    'llm.v1',
  ])('accepts %j', (entry) => {
    expect(entryProblem(entry)).toBeUndefined();
  });

  it.each([
    ['x:0', 'port must be between 1 and 65535'],
    ['x:65536', 'port must be between 1 and 65535'],
    ['10.0.0.0/33', 'must be a CIDR block'],
    ['10.0.0.0/', 'must be a CIDR block'],
    ['10.0.0.0/1x', 'must be a CIDR block'],
    ['10.0.0.0/x1', 'must be a CIDR block'],
    ['10.0.0.0/0001', 'must be a CIDR block'],
    ['fd00::/129', 'must be a CIDR block'],
    ['.internal', 'must be written as *.suffix'],
    ['-a', `must be ${forms}. Received "-a"`],
    ['a-', `must be ${forms}. Received "a-"`],
    ['a.-b', `must be ${forms}. Received "a.-b"`],
    ['a.b-', `must be ${forms}. Received "a.b-"`],
    ['a..b', `must be ${forms}. Received "a..b"`],
    ['1.2.3', `must be ${forms}. Received "1.2.3"`],
    ['ftp://a', `must be ${forms}. Received "ftp://a"`],
    ['a/http://b', `must be ${forms}. Received "a/http://b"`],
    ['[fd00::1', `must be ${forms}. Received "[fd00::1"`],
    ['x[fd00::1]', `must be ${forms}. Received "x[fd00::1]"`],
    ['[fd00::1]x', `must be ${forms}. Received "[fd00::1]x"`],
    ['a:1:2', `must be ${forms}. Received "a:1:2"`],
    ['a:x', `must be ${forms}. Received "a:x"`],
    ['a:', `must be ${forms}. Received "a:"`],
    ['', `must be ${forms}. Received ""`],
    ['a b', `must be ${forms}. Received "a b"`],
    ['a\nb', `must be ${forms}. Received "a\\nb"`],
  ])('refuses %j', (entry, problem) => {
    expect(entryProblem(entry)).toBe(problem);
  });

  it('shows at most 256 characters of an entry', () => {
    const entry = `${'a'.repeat(255)} ${'b'.repeat(255)}`;
    expect(entryProblem(entry)).toBe(`must be ${forms}. Received ${JSON.stringify(entry.slice(0, 256))}`);
  });
});

describe('AllowList', () => {
  it('names the list and the index of an invalid entry', () => {
    expect(() => new AllowList(['a', 'x:0'], [])).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        param: 'egress.allow[1]',
        message: 'egress.allow[1]: port must be between 1 and 65535.',
      }),
    );
    expect(() => new AllowList([], ['x:0'])).toThrow(
      expect.objectContaining({ param: 'egress.allowShared[0]' }),
    );
  });

  it('allows a host by the entries of both lists', () => {
    const list = new AllowList(['a.test'], ['b.test']);
    for (const host of ['a.test', 'b.test']) expect(list.allowsHost(target(host))).toBe(true);
    expect(list.allowsHost(target('c.test'))).toBe(false);
    expect(new AllowList([], []).allowsHost(target('a.test'))).toBe(false);
  });

  it('allows plain HTTP and a port only as the entry says', () => {
    const list = new AllowList(['http://a.test', 'b.test:8000', 'https://c.test'], []);
    expect(list.allowsHost(target('a.test', 80, 'http'))).toBe(true);
    expect(list.allowsHost(target('a.test', 1))).toBe(true);
    expect(list.allowsHost(target('b.test', 8000))).toBe(true);
    expect(list.allowsHost(target('b.test', 8001))).toBe(false);
    expect(list.allowsHost(target('b.test', 8000, 'http'))).toBe(false);
    expect(list.allowsHost(target('c.test', 80, 'http'))).toBe(false);
  });

  it('allows names below a suffix, and not the suffix', () => {
    const list = new AllowList(['*.test'], []);
    expect(list.allowsHost(target('a.test'))).toBe(true);
    expect(list.allowsHost(target('.test'))).toBe(false);
    expect(list.allowsHost(target('test'))).toBe(false);
    expect(list.allowsHost(target('a.test.com'))).toBe(false);
  });

  it('allows addresses of a block, and no address with a zone', () => {
    const list = new AllowList(['10.0.0.0/8', '[fe80::/10]:8000'], []);
    expect(list.allowsAddress(target('a.test'), '10.1.2.3')).toBe(true);
    expect(list.allowsAddress(target('a.test'), '::ffff:10.1.2.3')).toBe(true);
    expect(list.allowsAddress(target('a.test'), '11.1.2.3')).toBe(false);
    expect(list.allowsAddress(target('a.test', 8000), 'fe80::1')).toBe(true);
    expect(list.allowsAddress(target('a.test', 8001), 'fe80::1')).toBe(false);
    expect(list.allowsAddress(target('a.test', 8000), 'fe80::1%eth0')).toBe(false);
    expect(list.allowsAddress(target('a.test'), 'a.test')).toBe(false);
    expect(new AllowList(['a.test'], []).allowsAddress(target('a.test'), '10.1.2.3')).toBe(false);
  });

  it('may allow a name only if a block fits its scheme and port', () => {
    const list = new AllowList(['a.test', '10.0.0.0/8:8000'], []);
    expect(list.mayAllow(target('b.test', 8000))).toBe(true);
    expect(list.mayAllow(target('b.test', 443))).toBe(false);
    expect(list.mayAllow(target('b.test', 8000, 'http'))).toBe(false);
    expect(new AllowList(['a.test'], []).mayAllow(target('a.test'))).toBe(false);
  });
});

describe('EgressPolicy', () => {
  const reasonFor = (url: string, allow: string[] = []) => compilePolicy(allow).checkUrl(new URL(url));

  it.each([
    ['https://user@example.com', 'must not contain credentials.'],
    ['https://:pass@example.com', 'must not contain credentials.'],
    ['ftp://example.com', 'must be an http or https URL with a host.'],
    ['https://a..example.com', 'must be an http or https URL with a host.'],
    ['https://localhost', `must not name the local host. ${ask}`],
    ['https://a.localhost', `must not name the local host. ${ask}`],
    ['https://localhost.localdomain', `must not name the local host. ${ask}`],
    ['http://example.com', `must use https. ${ask}`],
    ['https://example.com:8443', `port 8443 is not allowed. ${ask}`],
    ['https://10.0.0.1', `address must be public. ${ask}`],
    ['http://10.0.0.1', `must use https. ${ask}`],
    ['https://[fd00::1]', `address must be public. ${ask}`],
  ])('refuses %s', (url, reason) => {
    expect(reasonFor(url)).toBe(reason);
  });

  it.each([
    'https://example.com',
    'https://8.8.8.8',
    'https://[2606:4700::1111]',
    'https://notlocalhost',
    'https://localhost.localdomain.com',
  ])('allows %s', (url) => {
    expect(reasonFor(url)).toBeUndefined();
  });

  it('leaves a name to its addresses if a block fits, but never the local host', () => {
    expect(reasonFor('http://llm.test', ['http://10.0.0.0/8'])).toBeUndefined();
    expect(reasonFor('http://llm.test', ['10.0.0.0/8'])).toBe(`must use https. ${ask}`);
    expect(reasonFor('https://localhost', ['127.0.0.0/8'])).toBe(`must not name the local host. ${ask}`);
    expect(reasonFor('http://11.0.0.1', ['http://10.0.0.0/8'])).toBe(`must use https. ${ask}`);
  });

  it('connects to public addresses over HTTPS on its ports, and to the exceptions', () => {
    const policy = compilePolicy(['llm.test', '10.0.0.0/8'], { ports: [443, 8443] });
    expect(policy.allowsAddress(target('example.com'), '8.8.8.8')).toBe(true);
    expect(policy.allowsAddress(target('example.com', 8443), '8.8.8.8')).toBe(true);
    expect(policy.allowsAddress(target('example.com', 8444), '8.8.8.8')).toBe(false);
    expect(policy.allowsAddress(target('example.com', 443, 'http'), '8.8.8.8')).toBe(false);
    expect(policy.allowsAddress(target('example.com'), '192.168.0.1')).toBe(false);
    expect(policy.allowsAddress(target('example.com', 9999), '10.0.0.1')).toBe(true);
    expect(policy.allowsAddress(target('llm.test'), '192.168.0.1')).toBe(true);
  });

  it('has the port 443 by default', () => {
    expect(compilePolicy([]).allowsAddress(target('example.com'), '8.8.8.8')).toBe(true);
    expect(compilePolicy([]).allowsAddress(target('example.com', 8443), '8.8.8.8')).toBe(false);
  });
});

describe('destinationOf', () => {
  it.each([
    ['https://Example.com', target('example.com')],
    ['https://example.com.', target('example.com')],
    ['https://example.com:8443', target('example.com', 8443)],
    ['http://example.com', target('example.com', 80, 'http')],
    ['http://example.com:8080', target('example.com', 8080, 'http')],
    ['https://[fd00::1]:8443', target('fd00::1', 8443)],
    ['ftp://example.com', undefined],
    ['https://a..b', undefined],
    ['https://017700000001..', undefined],
  ])('reads %s', (url, destination) => {
    expect(destinationOf(new URL(url))).toEqual(destination);
  });
});

describe('address', () => {
  it.each([
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['::ffff:0a01:0203', '10.1.2.3'],
    ['0:0:0:0:0:ffff:255.254.253.252', '255.254.253.252'],
    ['::ffff:10.1.2.3%1', '::ffff:10.1.2.3%1'],
    ['::fffe:10.1.2.3', '::fffe:10.1.2.3'],
    ['1::ffff:10.1.2.3', '1::ffff:10.1.2.3'],
    ['10.1.2.3', '10.1.2.3'],
    ['2606:4700::', '2606:4700::'],
    ['not an address', 'not an address'],
  ])('unmap(%j) is %j', (given, plain) => {
    expect(unmap(given)).toBe(plain);
  });

  it.each([
    ['64:ff9b::8.8.8.8', true],
    ['64:ff9b::10.0.0.1', false],
    ['64:ff9b::a00:1', false],
    ['2606:4700::1111%eth0', false],
    ['4000::1', false],
    ['1fff::1', false],
    ['2000::1', true],
    ['', false],
    ['example.com', false],
  ])('isPublic(%j) is %j', (given, expected) => {
    expect(isPublic(given)).toBe(expected);
  });

  it('compiles blocks and single addresses of both families', () => {
    const list = blockList(['10.0.0.0/8', '192.168.0.1', 'fd00::/8', 'fe80::1']);
    for (const address of ['10.255.255.255', '192.168.0.1']) expect(list.check(address, 'ipv4')).toBe(true);
    for (const address of ['fdff::1', 'fe80::1']) expect(list.check(address, 'ipv6')).toBe(true);
    expect(list.check('192.168.0.2', 'ipv4')).toBe(false);
    expect(list.check('fe80::2', 'ipv6')).toBe(false);
  });
});

import { writeFile } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { collect } from '../../src/calls/answer.ts';
import { dnsSource, lookupSource } from '../../src/egress/dns/dns-source.ts';
import { type LookupNames, type NameSource, Names } from '../../src/egress/dns/names.ts';
import { compilePolicy } from '../../src/egress/guard.ts';
import { Transport } from '../../src/egress/transport.ts';
import { type DnsServer, dnsServer } from '../support/dns-server.ts';
import { recordingProvider } from '../support/recording-provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const limits = { total: 4, perTeam: 2, queueTimeoutMs: 60_000, cached: true };

let server: DnsServer;
let hostsFile: string;
let resolvConf: string;
const newPath = temporaryFolder();
let clock: number;
let names: LookupNames;
const closing: (() => Promise<unknown>)[] = [];

async function start(files: { hosts?: string; resolv?: string } = {}): Promise<void> {
  await writeFile(hostsFile, files.hosts ?? '');
  await writeFile(resolvConf, files.resolv ?? '');
  const places = {
    servers: [server.address],
    hostsFile,
    resolvConf,
  };
  const now = () => clock;
  names = new Names(dnsSource(places, now), limits, now).lookup;
}

beforeEach(async () => {
  clock = 0;
  hostsFile = newPath('hosts');
  resolvConf = newPath('resolv.conf');
  server = await dnsServer({
    'both.test': { v4: ['93.184.1.1'], v6: ['2606:4700:0:0:0:0:0:1111'] },
    'plain.test': { v4: ['93.184.1.2', '93.184.1.3'], ttl: 20 },
    'half.test': { v4: ['93.184.1.4'], how: 'v4' },
    'fails.test': { how: 'fails' },
    'empty.test': {},
    'vllm.svc.cluster.local': { v4: ['10.0.0.7'] },
    'ollama.lab.test': { v4: ['10.0.0.8'] },
    ...Object.fromEntries(
      Array.from({ length: 40 }, (_, at) => [`dead${at}.test`, { how: 'never' as const }]),
    ),
  });
  closing.push(() => server.close());
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function ask(host: string, team: string | null = 'acme'): Promise<string[]> {
  return new Promise((resolve, reject) => {
    names(host, team, (error, addresses) =>
      error === null ? resolve(addresses.map(({ address }) => address)) : reject(error),
    );
  });
}

describe('the name servers', () => {
  it('are asked for both families', async () => {
    await start();
    expect(await ask('both.test')).toEqual(['93.184.1.1', '2606:4700::1111']);
    expect(await ask('plain.test')).toEqual(['93.184.1.2', '93.184.1.3']);
  });

  it('need not answer for IPv6', async () => {
    await start();
    expect(await ask('half.test')).toEqual(['93.184.1.4']);
  });

  it.each([
    ['no.test', 'ENOTFOUND'],
    ['empty.test', 'ENODATA'],
    ['fails.test', 'ESERVFAIL'],
  ])('%s is %s', async (host, code) => {
    await start();
    await expect(ask(host)).rejects.toMatchObject({ code });
  });

  it('are asked once for a name, until its TTL is over', async () => {
    await start();
    await Promise.all(['acme', 'zenith', null].map((team) => ask('plain.test', team)));
    clock = 19_999;
    await ask('plain.test');
    expect(server.asked).toHaveLength(2);
    clock = 20_000;
    await ask('plain.test');
    expect(server.asked).toHaveLength(4);
  });

  it('may fail for a while: the last answer serves', async () => {
    await start();
    await ask('plain.test');
    server.zones.set('plain.test', { how: 'fails' });
    clock = 25_000;
    expect(await ask('plain.test')).toEqual(['93.184.1.2', '93.184.1.3']);
    server.zones.delete('plain.test');
    clock = 35_000;
    await expect(ask('plain.test')).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });

  it('tell of an internal name for no longer than of none', async () => {
    server.zones.set('internal.test', { v4: ['10.1.2.3'], ttl: 3_600 });
    await start();
    const count = async (host: string, at: number) => {
      clock = at;
      const before = server.asked.length;
      await ask(host).catch(() => {});
      return server.asked.length - before;
    };
    for (const host of ['internal.test', 'no.test'])
      expect([await count(host, 0), await count(host, 4_999), await count(host, 5_000)]).toEqual([2, 0, 2]);
  });
});

describe('the files of the system', () => {
  it('resolves a name of the hosts file without a query, and follows changes of the file', async () => {
    await start({ hosts: '# comment\n10.0.0.9 vllm.internal VLLM2\n::1 vllm.internal # again\nbad line\n' });
    expect(await ask('vllm.internal')).toEqual(['10.0.0.9', '::1']);
    expect(await ask('vllm2')).toEqual(['10.0.0.9']);
    expect(server.asked).toEqual([]);
    await writeFile(hostsFile, '10.0.0.10 vllm.internal\n');
    clock = 10_000;
    expect(await ask('vllm.internal')).toEqual(['10.0.0.10']);
  });

  it('localhost is this host, whatever the name servers say', async () => {
    server.zones.set('localhost', { v4: ['93.184.1.9'] });
    await start();
    expect(await ask('localhost')).toEqual(['127.0.0.1', '::1']);
  });

  it('search domains complete a name: after it if it has a dot, before if it has none', async () => {
    await start({ resolv: 'domain ignored.test\nsearch lab.test cluster.local\n' });
    expect(await ask('vllm.svc')).toEqual(['10.0.0.7']);
    expect(server.asked[0]).toBe('vllm.svc');
    server.asked.length = 0;
    expect(await ask('ollama')).toEqual(['10.0.0.8']);
    expect(server.asked[0]).toBe('ollama.lab.test');
  });

  it('files that are not there say nothing', async () => {
    const places = { servers: [server.address], hostsFile: '/no/hosts', resolvConf: '/no/resolv' };
    names = new Names(dnsSource(places), limits).lookup;
    expect(await ask('plain.test')).toHaveLength(2);
  });
});

describe('names whose servers never answer', () => {
  it('delay the team that asks for them, and no other', async () => {
    await start();
    for (let at = 0; at < 40; at++) void ask(`dead${at}.test`).catch(() => {});
    await expect(Promise.all([ask('plain.test', 'zenith'), ask('both.test', null)])).resolves.toHaveLength(2);
  });

  it('resolves a name that one team has queued immediately for another', async () => {
    await start();
    for (let at = 0; at < 3; at++) void ask(`dead${at}.test`).catch(() => {});
    const own = ask('plain.test');
    await expect(ask('plain.test', 'zenith')).resolves.toHaveLength(2);
    void own.catch(() => {});
  });

  it('a team that asks for too many is refused alone, and blamed on no provider', async () => {
    const stuck: NameSource = () => {};
    names = new Names(stuck, { ...limits, queueTimeoutMs: 1 }).lookup;
    for (let at = 0; at < 2; at++) void ask(`dead${at}.test`);
    await expect(ask('plain.test')).rejects.toMatchObject({ code: 'rate_limit_exceeded', retryAfter: 1 });
  });

  it("the operator's lookup releases its slot after the connect timeout", async () => {
    names = new Names(
      lookupSource((host, _, callback) => {
        if (!host.startsWith('dead')) callback(null, [{ address: '10.0.0.1', family: 4 }]);
      }, 1),
      { ...limits, cached: false },
    ).lookup;
    const dead = [ask('dead0.test'), ask('dead1.test'), ask('dead2.test')];
    for (const one of dead) await expect(one).rejects.toMatchObject({ code: 'ETIMEOUT' });
    await expect(ask('plain.test')).resolves.toEqual(['10.0.0.1']);
  });
});

describe('a name of an internal zone', () => {
  const seen: unknown[] = [];

  async function failure(host: string): Promise<unknown> {
    const way = new Transport({
      policy: compilePolicy([]),
      names,
      onRefused: (refused) => seen.push(refused),
    });
    closing.push(() => way.close());
    try {
      return await way.request({
        method: 'GET',
        url: `https://${host}/`,
        headers: {},
        team: 'acme',
        headersTimeoutMs: 5_000,
        bodyTimeoutMs: 5_000,
      });
    } catch (error) {
      const { code, message, status, cause } = error as Error & { code: string; status: number };
      return { code, message, status, cause };
    }
  }

  it('could be told from one that does not exist', async () => {
    await start({ hosts: '10.0.0.3 listed.corp' });
    server.zones.set('internal.corp', { v4: ['10.1.2.3'] });
    server.zones.set('mixed.corp', { v4: ['93.184.1.1', '10.1.2.3'] });
    server.zones.set('empty.corp', {});
    const none = await failure('no.corp');
    expect(none).toMatchObject({ code: 'egress_denied', status: 502 });
    for (const host of ['internal.corp', 'mixed.corp', 'empty.corp', 'listed.corp'])
      expect(await failure(host)).toEqual(none);
    expect(seen).toEqual([
      { teamId: 'acme', host: 'no.corp', reason: 'ENOTFOUND' },
      { teamId: 'acme', host: 'internal.corp', reason: 'address_not_allowed' },
      { teamId: 'acme', host: 'mixed.corp', reason: 'address_not_allowed' },
      { teamId: 'acme', host: 'empty.corp', reason: 'ENODATA' },
      { teamId: 'acme', host: 'listed.corp', reason: 'address_not_allowed' },
    ]);
  });
});

it('a request goes where the name servers say', async () => {
  const provider = await recordingProvider((_, response) => void response.end('ok'));
  closing.push(() => provider.close());
  server.zones.set('llm.test', { v4: ['127.0.0.1'] });
  await start();
  const { port } = new URL(provider.url);
  const way = new Transport({ policy: compilePolicy([`http://llm.test:${port}`]), names });
  closing.push(() => way.close());
  const { body } = await way.request({
    method: 'GET',
    url: `http://llm.test:${port}/`,
    headers: {},
    headersTimeoutMs: 5_000,
    bodyTimeoutMs: 5_000,
  });
  expect(String(await collect(body))).toBe('ok');
  expect(provider.requests[0]?.headers.host).toBe(`llm.test:${port}`);
  await turn();
});

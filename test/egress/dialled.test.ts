import { isIP, type LookupFunction } from 'node:net';
import type { buildConnector } from 'undici';
import { afterEach, expect, it } from 'vitest';
import type { Lookup } from '../../src/egress/connector.ts';
import { compilePolicy } from '../../src/egress/guard.ts';
import { Transport } from '../../src/egress/transport.ts';
import { parseUrl } from '../../src/parse-url.ts';
import { hostileBases, refusedWhenDialled } from '../hostile/corpus.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Does what Node does before it opens a socket, and notes the addresses instead. */
function recordingDial(dialled: string[]): typeof buildConnector {
  return (options = {}) =>
    (given, callback) => {
      const fail = (error: Error) => callback(error, null);
      const host = given.hostname.replace(/^\[|\]$/g, '');
      if (isIP(host) !== 0) {
        dialled.push(host);
        return fail(new Error('dialled'));
      }
      const { lookup } = options as { lookup: LookupFunction };
      lookup(host, { all: true }, (error, addresses) => {
        if (error !== null) return fail(error);
        for (const { address } of addresses as { address: string }[]) dialled.push(address);
        fail(new Error('dialled'));
      });
    };
}

function transport(dialled: string[], lookup: Lookup): Transport {
  const made = new Transport({ policy: compilePolicy([]), lookup, dial: recordingDial(dialled) });
  closing.push(() => made.close());
  return made;
}

const answer =
  (list: string[]): Lookup =>
  (_, __, callback) =>
    callback(
      null,
      list.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );

const get = (url: string) => ({
  method: 'GET',
  url,
  headers: {},
  headersTimeoutMs: 5_000,
  bodyTimeoutMs: 5_000,
});

it('the recording dial notes what is allowed, so that the next tests can fail', async () => {
  const dialled: string[] = [];
  const way = transport(dialled, answer(['8.8.8.8', '2606:4700::1111']));
  await expect(way.request(get('https://llm.example/v1'))).rejects.toMatchObject({
    code: 'provider_unreachable',
  });
  await expect(way.request(get('https://1.1.1.1/v1'))).rejects.toMatchObject({
    code: 'provider_unreachable',
  });
  expect(dialled).toEqual(['8.8.8.8', '2606:4700::1111', '1.1.1.1']);
});

it.each(hostileBases.map((base) => [JSON.stringify(base), base]))(
  '%s opens no socket, even if it were stored',
  async (_, base) => {
    const dialled: string[] = [];
    const url = parseUrl(base)?.href ?? base;
    await expect(transport(dialled, answer(['127.0.0.1'])).request(get(url))).rejects.toThrow();
    expect(dialled).toEqual([]);
  },
);

it.each(refusedWhenDialled.map((entry) => [`${entry.base} -> ${entry.answers.join()}`, entry] as const))(
  '%s opens no socket',
  async (_, { base, answers }) => {
    for (const list of answers) {
      const dialled: string[] = [];
      const call = transport(dialled, answer(list)).request(get(new URL(base).href));
      await expect(call).rejects.toMatchObject({ code: 'egress_denied' });
      expect(dialled).toEqual([]);
    }
  },
);

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Lookup } from '../../src/egress/dns/dns-source.ts';
import { compilePolicy } from '../../src/egress/guard.ts';
import { Transport } from '../../src/egress/transport.ts';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

type Callback = (error?: unknown, answer?: unknown, family?: unknown) => undefined;

const loopback = { address: '127.0.0.1', family: 4 };
let provider: RecordingProvider;
let transport: Transport | undefined;
const uncaught: unknown[] = [];
const note = (error: unknown) => void uncaught.push(error);

beforeAll(async () => {
  provider = await recordingProvider((_, response) => sendJson(response, 200, {}));
  process.on('uncaughtException', note).on('unhandledRejection', note);
});
afterEach(async () => {
  await transport?.close();
  provider.requests.length = 0;
});
afterAll(async () => {
  process.off('uncaughtException', note).off('unhandledRejection', note);
  await provider.close();
});

/** Sends a request to a name that `lookup` resolves. Only addresses of 127.0.0.0/8 are allowed. */
async function outcome(lookup: (callback: Callback, host: string) => unknown): Promise<unknown> {
  const { port } = new URL(provider.url);
  transport = new Transport({
    policy: compilePolicy(['http://127.0.0.0/8']),
    connectTimeoutMs: 500,
    lookup: ((host: string, _: unknown, callback: Callback) => lookup(callback, host)) as unknown as Lookup,
  });
  try {
    const { status } = await transport.request({
      method: 'GET',
      url: `http://llm.test:${port}/`,
      headers: {},
      headersTimeoutMs: 5_000,
      bodyTimeoutMs: 5_000,
      team: 'acme',
    });
    return status;
  } catch (error) {
    const { code, hint, message } = error as { code?: string; hint?: string; message: string };
    return hint ?? code ?? message;
  }
}

const malformed = /^egress\.lookup: .* It must call back once/;

describe('egress.lookup', () => {
  it.each<[string, (callback: Callback) => unknown]>([
    ['a list of addresses', (callback) => callback(null, [loopback])],
    ['one address and its family', (callback) => callback(null, '127.0.0.1', 4)],
    ['one address as an object', (callback) => callback(null, loopback)],
    ['a list of texts', (callback) => callback(null, ['127.0.0.1'])],
    ['addresses without a family', (callback) => callback(null, [{ address: '127.0.0.1' }])],
    ['addresses with a wrong family', (callback) => callback(null, [{ address: '127.0.0.1', family: 6 }])],
    ['undefined in place of null for no error', (callback) => callback(undefined, [loopback])],
    ['an answer twice', (callback) => [0, 1].map(() => callback(null, [loopback]))],
    [
      'an answer, and an error later',
      (callback) => [null, new Error('late')].map((error) => callback(error, [loopback])),
    ],
    ['an answer before it throws', (callback) => callback(null, [loopback]) ?? fails()],
    ['an answer from an async function', async (callback) => callback(null, [loopback])],
  ])('may call back with %s', async (_, lookup) => {
    expect(await outcome(lookup)).toBe(200);
    expect(provider.requests).toHaveLength(1);
    expect(uncaught).toEqual([]);
  });

  it.each<[string, unknown[]]>([
    ['nothing', []],
    ['null', [null, null]],
    ['a number', [null, 2_130_706_433]],
    ['a name', [null, 'localhost']],
    ['an empty text', [null, '']],
    ['an address with a port', [null, '127.0.0.1:80']],
    ['a list in a list', [null, [[loopback]]]],
    ['a list with a hole', [null, [loopback, undefined]]],
    ['an address that is no text', [null, [{ address: 1, family: 4 }]]],
    ['a long text', [null, '1'.repeat(1_000_000)]],
    ['an error that is a text', ['ENOTFOUND']],
  ])('fails with the reason for the operator after it calls back with %s', async (_, given) => {
    expect(await outcome((callback) => callback(...given))).toMatch(malformed);
    expect(provider.requests).toEqual([]);
    expect(uncaught).toEqual([]);
  });

  it.each<[string, (callback: Callback) => unknown, unknown]>([
    ['throws', fails, 'provider_unreachable'],
    ['throws a text', () => throwing('no'), expect.stringMatching(malformed)],
    [
      'rejects',
      () => Promise.reject(Object.assign(new Error('no'), { code: 'EFAULT' })),
      'provider_unreachable',
    ],
    ['rejects without an error', () => Promise.reject(undefined), expect.stringMatching(malformed)],
    ['never calls back', () => {}, 'provider_timeout'],
    ['has no address', (callback) => callback(null, []), 'egress_denied'],
    ['has an address that is not allowed', (callback) => callback(null, '10.0.0.1', 4), 'egress_denied'],
    [
      'has one address among others that is not allowed',
      (callback) => callback(null, [loopback, '10.0.0.1']),
      'egress_denied',
    ],
  ])('ends only its own call if it %s', async (_, lookup, expected) => {
    expect(await outcome(lookup)).toEqual(expected);
    expect(provider.requests).toEqual([]);
    expect(uncaught).toEqual([]);
  });
});

function fails(): never {
  throw Object.assign(new Error('no'), { code: 'EFAULT' });
}

function throwing(value: unknown): never {
  throw value;
}

import { createHook } from 'node:async_hooks';
import { lookup as systemLookup } from 'node:dns';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Lookup } from '../../src/egress/dns/dns-source.ts';
import { makeNames } from '../../src/egress/limits.ts';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const messages = [{ role: 'user' as const, content: 'hello' }];

let provider: RecordingProvider;
/** The provider's address by a name that only the system knows: it is in no public zone. */
let base: string;
const routers: TeamModelRouter[] = [];
/** Look-ups that have gone to the system's `getaddrinfo`. */
let lookups = 0;
const hook = createHook({
  init(_, type) {
    if (type === 'GETADDRINFOREQWRAP') lookups += 1;
  },
});

beforeEach(async () => {
  provider = await recordingProvider();
  base = provider.url.replace('127.0.0.1', 'localhost');
  lookups = 0;
  hook.enable();
});

afterEach(async () => {
  hook.disable();
  await Promise.all(routers.splice(0).map((router) => router.close({ drainTimeoutMs: 0 })));
  await provider.close();
});

async function routerWith(egress: object): Promise<TeamModelRouter> {
  const router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [base], ...egress },
  });
  routers.push(router);
  await router.addModel('acme', {
    model_name: 'm',
    litellm_params: { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: base, num_retries: 0 },
  });
  return router;
}

describe("egress.resolver: 'system'", () => {
  it('looks a name up by getaddrinfo, once for all calls while the answer holds', async () => {
    const router = await routerWith({ resolver: 'system' });
    const calls = Array.from({ length: 5 }, () => router.chatCompletion('acme', { model: 'm', messages }));
    for (const { choices } of await Promise.all(calls))
      expect(choices[0]?.message.content).toBe('Hello there');
    await router.chatCompletion('acme', { model: 'm', messages });
    expect(lookups).toBe(1);
    expect(provider.requests).toHaveLength(6);
    expect(provider.requests[0]?.headers.host).toBe(new URL(base).host);
  });

  it('is not used unless it is asked for', async () => {
    const router = await routerWith({});
    await router.chatCompletion('acme', { model: 'm', messages });
    expect(lookups).toBe(0);
  });

  it('yields to a lookup of the operator', async () => {
    const asked: string[] = [];
    const lookup: Lookup = (host, _, callback) => {
      asked.push(host);
      callback(null, [{ address: '127.0.0.1', family: 4 }]);
    };
    const router = await routerWith({ resolver: 'system', lookup });
    await router.chatCompletion('acme', { model: 'm', messages });
    expect(asked).toEqual(['localhost']);
    expect(lookups).toBe(0);
  });

  it('answers with what the system does', async () => {
    const names = makeNames({ resolver: 'system' });
    const found = await new Promise((resolve, reject) => {
      names('localhost', 'acme', (error, addresses) => (error === null ? resolve(addresses) : reject(error)));
    });
    const known = await new Promise((resolve) => {
      systemLookup('localhost', { all: true }, (_, addresses) => resolve(addresses));
    });
    expect(found).toEqual(known);
  });
});

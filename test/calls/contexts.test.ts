import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { generateEncryptionKey, memoryStorage, type Receipt, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { nodeListener } from 'team-model-router/http/node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const store = new AsyncLocalStorage<string>();
const calls = 200;

/** The context in which each receipt came, by the team whose call it was. */
const observed = new Map<string, string | undefined>();
const published = new Map<string, string | undefined>();
let told: () => void = () => {};

let provider: RecordingProvider;
let router: TeamModelRouter;
const keys: string[] = [];
const servers: Server[] = [];

const onPublished = (message: unknown) => {
  const { teamId } = message as Receipt;
  published.set(String(teamId), store.getStore());
};

beforeAll(async () => {
  subscribe('team-model-router:call', onPublished);
  provider = await recordingProvider();
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    onCall({ teamId }) {
      observed.set(String(teamId), store.getStore());
      told();
    },
  });
  const litellm_params = { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  for (let team = 0; team < calls; team++) {
    await router.addModel(`team-${team}`, { model_name: 'm', litellm_params });
    keys.push((await router.createKey(`team-${team}`)).key);
  }
});
afterEach(() => {
  observed.clear();
  published.clear();
});
afterAll(async () => {
  unsubscribe('team-model-router:call', onPublished);
  for (const server of servers) server.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const body = '{"model":"m","messages":[]}';
const teams = Array.from({ length: calls }, (_, team) => `team-${team}`);

/** Makes a call of every team at once, each in its own context, and waits until all receipts came. */
async function callAll(call: (team: string, index: number) => Promise<Response>): Promise<void> {
  const all = new Promise<void>((resolve) => {
    told = () => {
      if (observed.size === calls) resolve();
    };
  });
  await Promise.all(teams.map(async (team, index) => (await call(team, index)).arrayBuffer()));
  await all;
}

const expectOwn = (seen: Map<string, string | undefined>) =>
  expect(teams.filter((team) => seen.get(team) !== `context of ${team}`)).toEqual([]);

/** A gateway behind a middleware that gives each request a context, by a header. */
async function listen(authenticate?: Parameters<typeof createGateway>[1]['authenticate']): Promise<string> {
  const gateway = createGateway(router, { masterKey: 'm'.repeat(32), authenticate });
  const listener = nodeListener(gateway);
  const server = createServer((incoming, outgoing) =>
    store.run(`context of ${incoming.headers['x-team']}`, () => void listener(incoming, outgoing)),
  ).listen(0, '127.0.0.1');
  servers.push(server);
  await new Promise((resolve) => server.once('listening', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/chat/completions`;
}

describe('200 concurrent calls, each in a separate AsyncLocalStorage store', () => {
  it('in-process: 200 of 200 observers see their own', async () => {
    const headers = { 'content-type': 'application/json' };
    await callAll((team) =>
      store.run(`context of ${team}`, () =>
        router.fetchFor(team)('/v1/chat/completions', { method: 'POST', headers, body }),
      ),
    );
    expectOwn(observed);
    expectOwn(published);
  });

  it('by keys, through the gateway', async () => {
    const url = await listen();
    await callAll((team, index) => {
      const headers = {
        'content-type': 'application/json',
        authorization: `Bearer ${keys[index]}`,
        'x-team': team,
      };
      return fetch(url, { method: 'POST', headers, body });
    });
    expectOwn(observed);
    expectOwn(published);
  });

  it('through `authenticate`, which sees its own as well', async () => {
    const asked = new Map<string, string | undefined>();
    const url = await listen(async (request) => {
      const teamId = request.headers.get('x-team') ?? '';
      await new Promise((resolve) => setImmediate(resolve));
      asked.set(teamId, store.getStore());
      return { teamId, keyType: 'default' };
    });
    await callAll((team) => {
      const headers = { 'content-type': 'application/json', 'x-team': team };
      return fetch(url, { method: 'POST', headers, body });
    });
    expectOwn(asked);
    expectOwn(observed);
  });

  it('streams, which end one among the others', async () => {
    const headers = { 'content-type': 'application/json' };
    const streamed = '{"model":"m","messages":[],"stream":true}';
    await callAll((team) =>
      store.run(`context of ${team}`, () =>
        router.fetchFor(team)('/v1/chat/completions', { method: 'POST', headers, body: streamed }),
      ),
    );
    expectOwn(observed);
  });

  it('failures', async () => {
    const fails = '{"model":"m","messages":[],"fallbacks":["m"]}';
    const headers = { 'content-type': 'application/json' };
    await callAll((team) =>
      store.run(`context of ${team}`, () =>
        router.fetchFor(team)('/nothing', { method: 'POST', headers, body: fails }),
      ),
    );
    expectOwn(observed);
  });
});

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { Agent } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BehaviourName, behaviours } from '../support/hostile-provider.ts';

const times = 1_000;
const timesOverHttp = 100;
/** As many as the router keeps open to one origin. */
const poolSize = 256;
const messages = [{ role: 'user' as const, content: 'hello' }];
const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';
const names = Object.keys(behaviours) as BehaviourName[];
/** These end by a time-out of ours alone. */
const silent: readonly BehaviourName[] = [
  'stall before headers',
  'stall mid-stream',
  'endless headers',
  'slow drip of JSON',
];
/** A megabyte or more each: fewer at a time, and read without the OpenAI client's parsing. */
const large: readonly BehaviourName[] = ['gzip bomb', 'endless JSON', '1 MB line'];
const streams = (name: BehaviourName) => /stream|event|chunks|DONE|line/.test(name);
const secondsOf = (name: BehaviourName) => (silent.includes(name) ? 0.2 : 10);
const atATime = (name: BehaviourName) => (large.includes(name) ? 10 : 100);
/** How much later than its time-out a call may end while a hundred others are under way on a busy machine. */
const toleranceMs = 10_000;
/** A deployment of each of them, in turn: a thousand failures in a row cool one down, whatever its team allows. */
const teams = ['acme', 'globex', 'initech'];

let provider: ChildProcess;
let router: TeamModelRouter;
let gateway: GatewayServer;
let keys: string[];
let before: { sockets: number; timers: number };
const clients = new Agent({ connections: 100 });
const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);

/**
 * Sockets of this process: the router's, the gateway's and those of its clients; the provider is in another one. Where
 * there is no /proc, the provider's count alone has to do: Node names only those that keep the process alive.
 */
function sockets(): number {
  if (!existsSync('/proc/self/fd')) return 0;
  const files = readdirSync('/proc/self/fd').map((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`);
    } catch {
      return 'closed meanwhile';
    }
  });
  return files.filter((file) => file.startsWith('socket:')).length;
}

const active = (kind: string) => process.getActiveResourcesInfo().filter((each) => each === kind).length;

interface AtProvider {
  /** Connections, by the behaviour that each was asked for last. */
  open: Record<string, number>;
  requests: number;
}

async function atProvider(): Promise<AtProvider> {
  provider.send('open');
  const [told] = await once(provider, 'message');
  return told as AtProvider;
}

const total = (counts: Record<string, number>) =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

/** A connection closes a moment after the call that used it: looks for up to a minute. */
async function settled(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let look = 0; look < 600 && !(await isSo()); look++) await pause(100);
}

beforeAll(async () => {
  process.on('unhandledRejection', note);
  const fixture = fileURLToPath(new URL('../support/hostile-provider-process.ts', import.meta.url));
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  provider = fork(fixture, [], { execArgv: ['--import', 'tsx'], cwd });
  const [url] = (await once(provider, 'message')) as [string];
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [url] },
    maxDecodedBytes: 1_048_576,
    maxAnswerBytes: 1_100_000,
  });
  const settings = { allowed_fails: 1_000, cooldown_time: 0, num_retries: 0 };
  for (const team_id of teams) {
    await router.createTeam({ team_id, settings });
    for (const name of names) {
      const litellm_params = {
        model: `openai/${name}`,
        api_key: 'sk-0123456789abcdef',
        api_base: url,
        timeout: secondsOf(name),
        stream_timeout: secondsOf(name),
      };
      await router.addModel(team_id, { model_name: name, litellm_params });
    }
  }
  keys = await Promise.all(teams.map(async (team) => (await router.createKey(team)).key));
  gateway = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
  before = { sockets: sockets(), timers: active('Timeout') };
});

afterAll(async () => {
  process.off('unhandledRejection', note);
  provider.send('end');
  await once(provider, 'exit');
});

let next = 0;

async function inProcess(model: BehaviourName): Promise<void> {
  next = (next + 1) % teams.length;
  const team = teams[next] ?? '';
  const stream = streams(model);
  if (large.includes(model)) {
    const response = await router.fetchFor(team)('/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages, stream }),
    });
    await response.arrayBuffer();
  } else if (!stream) await router.chatCompletion(team, { model, messages });
  else for await (const _ of await router.chatCompletion(team, { model, messages, stream }));
}

async function overHttp(model: BehaviourName): Promise<void> {
  next = (next + 1) % teams.length;
  const { body } = await clients.request({
    origin: gateway.url,
    path: '/v1/chat/completions',
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${keys[next]}` },
    body: JSON.stringify({ model, messages, stream: streams(model) }),
  });
  await body.arrayBuffer();
}

/** Calls until the provider has been asked so many times; what each call ends in is held elsewhere. In milliseconds. */
async function longestOf(count: number, width: number, call: () => Promise<void>): Promise<number> {
  const first = (await atProvider()).requests;
  let longest = 0;
  let left = count;
  const work = async () => {
    while (left-- > 0) {
      const startedAt = performance.now();
      await call().catch(() => {});
      longest = Math.max(longest, performance.now() - startedAt);
    }
  };
  // Some time out before they are sent, and some find the deployment cooling.
  while (left > 0) {
    await Promise.all(Array.from({ length: width }, work));
    left = first + count - (await atProvider()).requests;
  }
  return longest;
}

describe(`${times} times each`, () => {
  it.each(names)(
    '%s: every call ends in time, and leaves no more connections than a pool keeps',
    async (name) => {
      const startedAt = performance.now();
      const longest = Math.max(
        await longestOf(times, atATime(name), () => inProcess(name)),
        await longestOf(timesOverHttp, atATime(name), () => overHttp(name)),
      );
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
      const open = total((await atProvider()).open);
      console.log(`${name}: ${seconds} s, longest call ${longest.toFixed()} ms, ${open} connections`);
      expect(longest).toBeLessThan(secondsOf(name) * 1_000 + toleranceMs);
      expect(open).toBeLessThanOrEqual(poolSize);
      expect(unhandled).toEqual([]);
    },
  );

  it('and once the idle ones have had their time, none is left on either side, and no timer', async () => {
    await clients.destroy();
    await settled(async () => total((await atProvider()).open) === 0 && sockets() <= before.sockets);
    const { open, requests } = await atProvider();
    const left = { sockets: sockets(), timers: active('Timeout') };
    console.log(`${requests} requests; before ${JSON.stringify(before)}, left ${JSON.stringify(left)}`);
    // By the behaviour that left it.
    expect(open).toEqual({});
    expect(left.sockets).toBeLessThanOrEqual(before.sockets);
    expect(left.timers).toBeLessThanOrEqual(before.timers);
    expect(requests).toBeGreaterThanOrEqual(names.length * (times + timesOverHttp));
    await gateway.close();
    await router.close();
    expect(unhandled).toEqual([]);
  });
});

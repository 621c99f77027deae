import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readBroken } from '../support/broken-text.ts';
import {
  type BehaviourName,
  behaviours,
  type HostileProvider,
  hostileProvider,
} from '../support/hostile-provider.ts';

/** What the caller sees, in the words of `docs/operations/outages.md`, whose table is held against this one. */
const seen: { [Name in BehaviourName]: { call: 'plain' | 'stream'; inProcess: string; http: string } } = {
  '500': both('500 its_own'),
  '503 with retry-after 3600': both('503 its_own'),
  '429': both('429 its_own'),
  'RST before headers': both('502 provider_unreachable'),
  'RST mid-stream': streamed('"Hello ", then provider_unreachable'),
  'stall before headers': both('504 provider_timeout'),
  'stall mid-stream': streamed('"Hello ", then provider_timeout'),
  'cut mid-JSON, and the length says so': both('502 provider_unreachable'),
  'cut mid-JSON, and nothing says so': both('502 provider_unreachable'),
  'cut mid-event': streamed('"Hello ", then provider_unreachable'),
  'no [DONE], but a finish reason': streamed('"Hello there"'),
  'no [DONE] and no finish reason': streamed('"Hello there", then provider_unreachable'),
  '200 with HTML': both('502 provider_unreachable'),
  '200 with an error body': both('502 its_own'),
  '200 with an error event': streamed('"Hello ", then its_own'),
  'gzip bomb': { call: 'plain', inProcess: 'provider_unreachable', http: '200, and the connection is cut' },
  'gzip, rightly': both('"Hello there"'),
  'endless headers': both('504 provider_timeout'),
  'endless headers, fast': both('502 provider_unreachable'),
  'endless JSON': {
    call: 'plain',
    inProcess: 'provider_unreachable',
    http: '200, and the connection is cut',
  },
  'slow drip of JSON': both('504 provider_timeout'),
  'slow drip of events': streamed('"Hello there"'),
  'content-length too long': both('502 provider_unreachable'),
  'content-length too short': both('502 provider_unreachable'),
  'duplicate chunks': streamed('"Hello Hello therethere"'),
  '1 MB line': streamed('"Hello there"'),
  'invalid UTF-8': both('"Hell\uFFFD there"'),
  'invalid UTF-8 in a stream': streamed('"Hell\uFFFD there"'),
  'redirect to loopback': both('502 provider_unreachable'),
};

function both(what: string) {
  return { call: 'plain' as const, inProcess: what, http: what };
}

/** In-process the error is thrown; over HTTP it is the last event, and no [DONE] follows. */
function streamed(what: string) {
  return { call: 'stream' as const, inProcess: what, http: what };
}

const names = Object.keys(behaviours) as BehaviourName[];
const messages = [{ role: 'user' as const, content: 'hello' }];
const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';

let provider: HostileProvider;
let router: TeamModelRouter;
let gateway: GatewayServer;
let key: string;

beforeAll(async () => {
  provider = await hostileProvider();
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    maxAnswerBytes: 16_000_000,
  });
  // Never cooled: each cell stands for itself.
  await router.createTeam({
    team_id: 'acme',
    settings: { allowed_fails: 1_000, cooldown_time: 0, num_retries: 0 },
  });
  for (const name of names) {
    const litellm_params = {
      model: `openai/${name}`,
      api_key: 'sk-0123456789abcdef',
      api_base: provider.url,
      // Short only where a time-out is what ends the call.
      timeout: seen[name].http.includes('timeout') ? 0.4 : 30,
      stream_timeout: seen[name].http.includes('timeout') ? 0.4 : 30,
    };
    await router.addModel('acme', { model_name: name, litellm_params });
  }
  key = (await router.createKey('acme')).key;
  gateway = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
});

afterAll(async () => {
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

async function inProcess(model: string, stream: boolean): Promise<string> {
  let text = '';
  try {
    if (!stream) {
      const { choices } = await router.chatCompletion('acme', { model, messages });
      return JSON.stringify(choices[0]?.message.content);
    }
    for await (const chunk of await router.chatCompletion('acme', { model, messages, stream: true }))
      text += chunk.choices[0]?.delta.content ?? '';
    return JSON.stringify(text);
  } catch (error) {
    const { status, code } = error as InstanceType<typeof OpenAI.APIError>;
    if (stream) return `${JSON.stringify(text)}, then ${code}`;
    return error instanceof OpenAI.APIError ? `${status} ${code}` : String(code);
  }
}

async function overHttp(model: string, stream: boolean): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${gateway.port}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ model, messages, stream }),
  });
  const { text: body, error: cut } = await readBroken(response);
  if (!stream && cut !== undefined) return `${response.status}, and the connection is cut`;
  if (!stream) {
    const value = JSON.parse(body) as {
      error?: { code: string };
      choices?: { message: { content: string } }[];
    };
    return value.error === undefined
      ? JSON.stringify(value.choices?.[0]?.message.content)
      : `${response.status} ${value.error.code}`;
  }
  expect(response.status).toBe(200);
  const events = body.split('\n\n').filter((event) => event !== '' && event !== 'data: [DONE]');
  const values = events.map((event) => JSON.parse(event.slice('data: '.length)));
  const text = values.map((value) => value.choices?.[0]?.delta.content ?? '').join('');
  const error = values.at(-1)?.error;
  if (error !== undefined) expect(body).not.toContain('[DONE]');
  // A client that skips the event notices too, unless the provider ended its stream by its own error.
  expect(cut !== undefined).toBe(error !== undefined && error.code !== 'its_own');
  return error === undefined ? JSON.stringify(text) : `${JSON.stringify(text)}, then ${error.code}`;
}

describe.each(names)('%s', (name) => {
  const { call, inProcess: thrown, http } = seen[name];

  it('in-process', async () => {
    expect(await inProcess(name, call === 'stream')).toBe(thrown);
  });

  it('over HTTP', async () => {
    expect(await overHttp(name, call === 'stream')).toBe(http);
  });
});

it('a call for a stream fails if the provider sends something else', async () => {
  expect(await inProcess('200 with an error body', true)).toBe('"", then its_own');
  expect(await inProcess('gzip, rightly', true)).toBe('"", then provider_unreachable');
  expect(await inProcess('200 with HTML', true)).toBe('"", then provider_unreachable');
});

it('nothing is asked of where a redirect leads', async () => {
  const before = provider.requests();
  await inProcess('redirect to loopback', false);
  expect(provider.requests()).toBe(before + 1);
});

it('the documented table is this one', () => {
  const text = readFileSync(
    fileURLToPath(new URL('../../docs/operations/outages.md', import.meta.url)),
    'utf8',
  );
  const rows = names.map((name) => {
    const { call, inProcess, http } = seen[name];
    return `| ${name} | ${call} | ${inProcess} | ${http} |`;
  });
  const documented = text.split('\n').filter((line) => /\| (plain|stream) \|/.test(line));
  expect(documented).toEqual(rows);
});

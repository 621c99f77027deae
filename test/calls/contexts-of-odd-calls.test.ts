import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  callChannelName,
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  TeamModelRouter,
} from 'team-model-router';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  answerAsOpenAI,
  type Handler,
  type RecordingProvider,
  recordingProvider,
} from '../support/recording-provider.ts';

// Calls that end otherwise than by one whole answer: their observers, too, run in the context of their own call.

const store = new AsyncLocalStorage<string>();
const calls = 40;

/** The context in which each was told, by the tag of the call. */
const seen = {
  onCall: new Map<string, string>(),
  channel: new Map<string, string>(),
  logger: new Map<string, string>(),
};
let told: () => void = () => {};
let provider: RecordingProvider;
let respond: Handler = answerAsOpenAI;
let router: TeamModelRouter;

const note = (into: Map<string, string>, { tags }: Receipt) => {
  into.set(String(tags?.[0]), store.getStore() ?? 'none');
  told();
};
const onChannel = (message: unknown) => note(seen.channel, message as Receipt);
const log = (fields: object) => {
  if ('callId' in fields) note(seen.logger, fields as Receipt);
};

beforeAll(async () => {
  subscribe(callChannelName, onChannel);
  provider = await recordingProvider((request, response) => respond(request, response));
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], maxConnectionsPerTeam: 2 },
    onCall: (receipt) => note(seen.onCall, receipt),
    logger: { info: log, warn: log, error: log },
  });
  const litellm_params = {
    model: 'm',
    api_key: 'sk-0123456789abcdef',
    api_base: provider.url,
    num_retries: 0,
  };
  for (const model_name of ['main', 'backup']) await router.addModel('acme', { model_name, litellm_params });
  await router.updateTeam('acme', { settings: { cooldown_time: 0 } });
});
afterEach(() => {
  respond = answerAsOpenAI;
  for (const map of Object.values(seen)) map.clear();
});
afterAll(async () => {
  unsubscribe(callChannelName, onChannel);
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const tags = Array.from({ length: calls }, (_, index) => `call-${index}`);

/** Makes all calls at the same time, each in its own context, and waits until these observers were told of all. */
async function callAll(
  observers: readonly (keyof typeof seen)[],
  call: (tag: string, body: { model: string; messages: []; tags: string[] }) => Promise<unknown>,
): Promise<void> {
  const all = new Promise<void>((resolve) => {
    told = () => {
      if (observers.every((observer) => seen[observer].size === calls)) resolve();
    };
  });
  const made = tags.map((tag) =>
    store.run(`context of ${tag}`, () => call(tag, { model: 'main', messages: [], tags: [tag] })),
  );
  await Promise.all(made);
  await all;
  for (const observer of observers)
    expect(
      tags.filter((tag) => seen[observer].get(tag) !== `context of ${tag}`),
      observer,
    ).toEqual([]);
}

describe('observers run in the context of a call', () => {
  it('that waits for a connection of its team', async () => {
    await callAll(['onCall', 'channel'], (_, body) => router.chatCompletion('acme', body));
  });

  it('whose caller leaves in the middle of a stream', async () => {
    respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(
        'data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',
      );
    };
    await callAll(['onCall', 'channel'], async (_, body) => {
      for await (const __ of await router.chatCompletion('acme', { ...body, stream: true })) break;
    });
  });

  it('that is aborted before its provider answers', async () => {
    const aborts: AbortController[] = [];
    respond = () => {
      for (const abort of aborts.splice(0)) abort.abort();
    };
    await callAll(['onCall', 'channel'], async (_, body) => {
      const abort = new AbortController();
      aborts.push(abort);
      const call = router.chatCompletion('acme', body, { signal: abort.signal });
      await expect(call).rejects.toThrow('aborted');
    });
  });

  it('that fails at every fallback, and its line in the log', async () => {
    respond = (_request, response) => {
      response.writeHead(500, { 'content-type': 'application/json' });
      response.end('{"error":{"message":"no"}}');
    };
    await callAll(['onCall', 'channel', 'logger'], (_, body) =>
      expect(router.chatCompletion('acme', body, { fallbacks: ['backup'] })).rejects.toThrow(),
    );
  });

  it('that names an unknown model', async () => {
    await callAll(['onCall', 'channel'], (_, body) =>
      router.chatCompletion('acme', { ...body, model: 'nobody-has-this' }).catch(() => {}),
    );
  });
});

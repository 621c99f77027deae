import { inspect } from 'node:util';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Handler, type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

let provider: RecordingProvider;
let router: TeamModelRouter;
const apiKey = 'sk-0123456789abcdef';

const form = [
  '--x\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n',
  '--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nof the file\r\n',
  '--x--\r\n',
].join('');
const long = Buffer.from('0123456789abcdef'.repeat(70_000));

/** What the provider answers, by the last segment of the path. */
const answers: Record<string, Handler> = {
  json: (_, response) => void response.end('{"id":"chatcmpl-1","choices":[]}'),
  mark: (_, response) => void response.end('\ufeff{"id":"chatcmpl-1","choices":[]}'),
  'no-json': (_, response) => void response.end('hällo'),
  stream(_, response) {
    const events = ['data: {"a":1}\n\n', ': ping\n\n', 'data: {"ä":2}\n\n', 'data: [DONE]\n\n'];
    const write = (): unknown => {
      const event = events.shift();
      return event === undefined ? response.end() : response.write(event, () => setImmediate(write));
    };
    write();
  },
  long: (_, response) => void response.end(long),
  form: (_, response) => void response.end(form),
  nothing: (_, response) => void response.end(),
  204: (_, response) => void response.writeHead(204).end(),
  refused: (_, response) => void response.writeHead(400).end('{"error":{"message":"no"}}'),
  endless(_, response) {
    const write = () => {
      if (!response.destroyed) response.write('data: {"a":1}\n\n', () => setImmediate(write));
    };
    write();
  },
};
const types: Record<string, string> = {
  json: 'application/json',
  mark: 'application/json',
  'no-json': 'text/plain',
  stream: 'text/event-stream',
  endless: 'text/event-stream',
  long: 'application/octet-stream',
  form: 'multipart/form-data; boundary=x',
  nothing: 'text/plain',
  refused: 'application/json',
};

beforeAll(async () => {
  provider = await recordingProvider((request, response) => {
    const name = /mark-([\w-]+?)-end/.exec(request.url + String(request.body))?.[1] ?? '';
    const type = types[name];
    if (type !== undefined) response.setHeader('content-type', type);
    answers[name]?.(request, response);
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  const litellm_params = { model: 'openai/m', api_key: apiKey, api_base: provider.url };
  await router.addModel('acme', { model_name: 'm', litellm_params });
  await router.updateTeam('acme', { settings: { num_retries: 0, allowed_fails: 1_000, cooldown_time: 0 } });
});
afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const isChat = (name: string) => ['json', 'mark', 'stream', 'endless', 'refused'].includes(name);
const chat = (name: string) => ({
  model: 'm',
  messages: [],
  user: `mark-${name}-end`,
  ...(types[name] === 'text/event-stream' ? { stream: true } : {}),
});
const filePath = (name: string) => `/files/mark-${name}-end/content`;

type Open = (name: string, signal?: AbortSignal) => Promise<Response>;
const doors: Record<string, Open> = {
  async fetchFor(name, signal) {
    const fetchOf = router.fetchFor('acme');
    if (!isChat(name)) return fetchOf(`/v1${filePath(name)}`, { ...(signal && { signal }) });
    return fetchOf('/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(chat(name)),
      ...(signal && { signal }),
    });
  },
  async forTeam(name, signal) {
    const client = router.forTeam('acme');
    if (!isChat(name)) return client.get(filePath(name), { ...(signal && { signal }) }).asResponse();
    return client.post('/chat/completions', { body: chat(name), ...(signal && { signal }) }).asResponse();
  },
  async 'forTeam, a call of chat'(name, signal) {
    if (!isChat(name)) return doors.forTeam?.(name, signal) as Promise<Response>;
    return router
      .forTeam('acme')
      .chat.completions.create(chat(name) as never, { ...(signal && { signal }) })
      .asResponse();
  },
  async chatCompletion(name, signal) {
    if (!isChat(name)) return doors.forTeam?.(name, signal) as Promise<Response>;
    return router.chatCompletion('acme', chat(name) as never, { ...(signal && { signal }) }).asResponse();
  },
};

/** Node's own `Response` of the same answer. */
const reference: Open = async (name) => {
  const path = isChat(name) ? '/chat/completions' : filePath(name);
  const init = isChat(name) ? { method: 'POST', body: JSON.stringify(chat(name)) } : {};
  const answer = await fetch(`${provider.url}/v1${path}`, init);
  const type = types[name];
  const headers = new Headers(type === undefined ? {} : { 'content-type': type });
  const { status, statusText } = answer;
  return new Response(status === 204 ? null : answer.body, { status, statusText, headers });
};

const decoder = new TextDecoder();
async function readAll(stream: ReadableStream<Uint8Array> | null): Promise<string> {
  const chunks: Uint8Array[] = [];
  const reader = stream?.getReader();
  for (let next = await reader?.read(); next?.value !== undefined; next = await reader?.read())
    chunks.push(next.value);
  reader?.releaseLock();
  return decoder.decode(Buffer.concat(chunks));
}
const iterate = async (stream: AsyncIterable<Uint8Array> | null) => {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream ?? []) chunks.push(chunk);
  return decoder.decode(Buffer.concat(chunks));
};
const entriesOf = (data: FormData) =>
  Promise.all(
    [...data].map(async ([name, value]) => [
      name,
      typeof value === 'string' ? value : [value.name, value.type, await value.text()],
    ]),
  );
/** The name of what is thrown or rejected with, or the value. */
async function outcome(work: () => unknown): Promise<unknown> {
  try {
    return await work();
  } catch (error) {
    return `${(error as Error).name}`;
  }
}
const stateOf = (response: Response) => ({
  bodyUsed: response.bodyUsed,
  body: response.body === null ? null : Object.prototype.toString.call(response.body),
  locked: response.body?.locked,
});

/** What the platform promises; each gives what a caller sees, to be compared with the reference. */
const expectations: Record<string, (response: Response) => unknown> = {
  'its fields': ({ status, ok, statusText, redirected, type, url }) => ({
    status,
    ok,
    statusText,
    redirected,
    type,
    url,
  }),
  'its class': (response) => [
    response instanceof Response,
    Object.prototype.toString.call(response),
    response.constructor === Response || response.constructor.name,
  ],
  'its content type': ({ headers }) => [headers instanceof Headers, headers.get('Content-Type')],
  'that its headers can be changed': ({ headers }) => {
    headers.set('x-a', '1');
    headers.append('x-a', '2');
    headers.delete('content-type');
    return [headers.get('x-a'), headers.get('content-type')];
  },
  'that changed headers are cloned': async (response) => {
    response.headers.set('x-a', '1');
    return response.clone().headers.get('x-a');
  },
  'its state before': stateOf,
  text: async (response) => [await outcome(() => response.text()), response.bodyUsed],
  json: async (response) => [await outcome(() => response.json()), response.bodyUsed],
  bytes: async (response) => {
    const bytes = new Uint8Array(await response.arrayBuffer());
    return [bytes.length, decoder.decode(bytes.subarray(0, 100)), response.bodyUsed];
  },
  'an ArrayBuffer of its own': async (response) => {
    const buffer = await response.arrayBuffer();
    return [buffer instanceof ArrayBuffer, buffer.byteLength];
  },
  blob: async (response) => {
    const blob = await response.blob();
    return [blob instanceof Blob, blob.type, blob.size, (await blob.text()).slice(0, 100), response.bodyUsed];
  },
  formData: (response) => outcome(async () => entriesOf(await response.formData())),
  'text twice': async (response) => [
    await outcome(() => response.text()),
    await outcome(() => response.text()),
  ],
  'text and json at once': (response) =>
    Promise.all([outcome(() => response.text()), outcome(() => response.json())]),
  'each way to read, after text': async (response) => {
    await response.text();
    const ways = ['text', 'json', 'arrayBuffer', 'blob', 'formData'] as const;
    const again = await Promise.all(ways.map((way) => outcome(() => response[way]())));
    return [again.map((each) => (typeof each === 'string' ? each : typeof each)), stateOf(response)];
  },
  'clone after text': async (response) => {
    await response.text();
    return outcome(() => response.clone().text());
  },
  'its state while text is read': async (response) => {
    const reading = response.text();
    const { bodyUsed } = response;
    await reading;
    return bodyUsed;
  },
  'its body after text': async (response) => {
    await response.text();
    return outcome(() => readAll(response.body));
  },
  'the same body each time': (response) => {
    const { body } = response;
    return response.body === body;
  },
  'its body by a reader': async (response) => {
    const read = await readAll(response.body);
    return [read, stateOf(response), await outcome(() => response.text())];
  },
  'its state while a reader has it': async (response) => {
    const reader = response.body?.getReader();
    const locked = stateOf(response);
    const text = await outcome(() => response.text());
    const clone = await outcome(() => response.clone());
    const second = await outcome(() => void response.body?.getReader());
    reader?.releaseLock();
    return [locked, text, typeof clone === 'string' ? clone : 'a clone', second, stateOf(response)];
  },
  'a lock that was given back unread': async (response) => {
    response.body?.getReader().releaseLock();
    return [response.bodyUsed, await response.text()];
  },
  'text after one chunk was read': async (response) => {
    const reader = response.body?.getReader();
    await reader?.read();
    reader?.releaseLock();
    return [stateOf(response), await outcome(() => response.text()), await outcome(() => response.clone())];
  },
  'its body by for await': async (response) => {
    const read = await iterate(response.body);
    return [read, stateOf(response), await outcome(() => response.text()), await iterate(response.body)];
  },
  'its state within for await': async (response) => {
    for await (const _ of response.body ?? []) {
      return [stateOf(response), await outcome(() => response.text()), await outcome(() => response.clone())];
    }
    return stateOf(response);
  },
  'for await that is left': async (response) => {
    for await (const _ of response.body ?? []) break;
    return [stateOf(response), await outcome(() => response.text()), await iterate(response.body)];
  },
  'for await after a chunk was read by a reader': async (response) => {
    const reader = response.body?.getReader();
    const first = (await reader?.read())?.value;
    reader?.releaseLock();
    return decoder.decode(first) + (await iterate(response.body));
  },
  'for await of a locked body': (response) => {
    const reader = response.body?.getReader();
    return outcome(() => iterate(response.body)).finally(() => reader?.releaseLock());
  },
  'values that do not cancel': async (response) => {
    let first = '';
    for await (const chunk of response.body?.values({ preventCancel: true }) ?? []) {
      first = decoder.decode(chunk);
      break;
    }
    return first + (await iterate(response.body));
  },
  'an iterator that is asked for and not used': async (response) => {
    const iterator = response.body?.[Symbol.asyncIterator]();
    const asked = stateOf(response);
    await iterator?.return?.();
    return [asked, stateOf(response)];
  },
  clone: async (response) => {
    const copy = response.clone();
    const before = [stateOf(response), stateOf(copy)];
    const { status, headers } = copy;
    const read = [
      await copy.text(),
      copy.bodyUsed,
      response.bodyUsed,
      await response.text(),
      response.bodyUsed,
    ];
    return [before, status, headers.get('content-type'), ...read];
  },
  'clone, the original first': async (response) => {
    const copy = response.clone();
    return [await response.text(), await copy.text()];
  },
  'clone, both at once': async (response) => {
    const copy = response.clone();
    return Promise.all([response.text(), copy.text()]);
  },
  'a clone of a clone': async (response) => {
    const copy = response.clone();
    const second = copy.clone();
    return Promise.all([response, copy, second].map((each) => each.text()));
  },
  'clone after its body was looked at': async (response) => {
    const { body } = response;
    const copy = response.clone();
    const same = body !== null && body === response.body;
    return [same, await copy.text(), await readAll(response.body)];
  },
  'clone, and the original by for await': async (response) => {
    const copy = response.clone();
    return [await iterate(response.body), await copy.text()];
  },
  tee: async (response) => {
    const [one, other] = response.body?.tee() ?? [];
    return [stateOf(response), await Promise.all([readAll(one ?? null), readAll(other ?? null)])];
  },
  'through a transform': (response) =>
    iterate(response.body?.pipeThrough(new TransformStream<Uint8Array, Uint8Array>()) ?? null),
  'as the body of another': async (response) => {
    const other = new Response(response.body, { headers: response.headers });
    return [await other.text(), response.bodyUsed];
  },
  'a reader that brings its own buffer': async (response) => {
    const reader = response.body?.getReader({ mode: 'byob' });
    let text = '';
    let done = reader === undefined;
    while (reader !== undefined && !done) {
      const next = await reader.read(new Uint8Array(64));
      text += Buffer.from(next.value ?? []).toString('latin1');
      done = next.done;
      if (text.length > 1_000) break;
    }
    await reader?.cancel();
    return text.slice(0, 1_000);
  },
  'its chunks': async (response) => {
    const reader = response.body?.getReader();
    const first = await reader?.read();
    await reader?.cancel();
    return first?.value === undefined ? first : first.value.constructor.name;
  },
  cancel: async (response) => {
    const cancelled = await outcome(() => response.body?.cancel('enough'));
    return [cancelled, stateOf(response), await outcome(() => response.text())];
  },
  'cancel by a reader, after a chunk': async (response) => {
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    return [await outcome(() => reader?.read()), await reader?.closed];
  },
  'cancel of a locked body': async (response) => {
    const reader = response.body?.getReader();
    const refused = await outcome(() => response.body?.cancel());
    await reader?.cancel();
    return refused;
  },
};

/** The big texts are told by their length. */
const short = (value: unknown): string =>
  JSON.stringify(value, (_, each) =>
    typeof each === 'string' && each.length > 2_000 ? `${each.length} characters` : each,
  ) ?? 'undefined';

describe.each(Object.keys(doors))('the response of %s is one of the platform', (door) => {
  it.each(Object.keys(expectations))('in %s', async (name) => {
    for (const answer of Object.keys(answers)) {
      if (answer === 'endless' || (answer === 'refused' && door !== 'fetchFor')) continue;
      // Headers of fetch are immutable, which the tests below compare.
      if (door === 'fetchFor' && name.includes('changed')) continue;
      const expected = await expectations[name]?.(await reference(answer));
      const given = await expectations[name]?.((await doors[door]?.(answer)) as Response);
      // The class of what the OpenAI client is given is not seen by it.
      if (name === 'its class') (given as unknown[])[2] = (expected as unknown[])[2];
      expect(`${answer}: ${short(given)}`).toBe(`${answer}: ${short(expected)}`);
    }
  });

  it('in what inspect shows, and no secret is there', async () => {
    for (const answer of ['json', 'stream', 'long', '204']) {
      const response = (await doors[door]?.(answer)) as Response;
      const shown = inspect(response, { depth: 8 });
      expect(shown).toMatch(/^(Lean)?Response \{/);
      expect(shown).toContain(`status: ${answer === '204' ? 204 : 200}`);
      expect(shown).not.toContain(apiKey);
      expect(JSON.stringify(response)).not.toContain(apiKey);
      expect((await response.text()).length).toBe((await (await reference(answer)).text()).length);
    }
  });

  it('in its bytes, which are a copy', async () => {
    const response = (await doors[door]?.('json')) as Response & { bytes?: () => Promise<Uint8Array> };
    // Node 20 has none.
    const bytes =
      response.bytes === undefined ? new Uint8Array(await response.arrayBuffer()) : await response.bytes();
    expect(bytes.constructor).toBe(Uint8Array);
    expect(bytes.buffer.byteLength).toBe(bytes.byteLength);
    // Whoever transfers a buffer takes nothing from others.
    structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
    const other = (await doors[door]?.('json')) as Response;
    expect(await other.json()).toMatchObject({ id: 'chatcmpl-1' });
  });

  it.each<[string, (response: Response) => Promise<unknown>]>([
    ['text', (response) => response.text()],
    ['a reader', (response) => readAll(response.body)],
    ['for await', (response) => iterate(response.body)],
    ['a clone', (response) => Promise.all([response.clone().text(), response.text()])],
    ['formData', (response) => response.formData()],
    ['blob', (response) => response.blob()],
  ])('in an abort while %s reads, which rejects with the reason', async (_, read) => {
    for (const reason of [undefined, new Error('enough')]) {
      const leaving = new AbortController();
      const response = (await doors[door]?.('endless', leaving.signal)) as Response;
      const reading = read(response);
      setImmediate(() => leaving.abort(reason));
      const error: unknown = await reading.then(
        () => 'read',
        (thrown: unknown) => thrown,
      );
      // The OpenAI client aborts the requests of its calls by a signal of its own, without the reason.
      if (reason !== undefined && door === 'fetchFor') expect(error).toBe(reason);
      else if (error !== reason) expect(error).toMatchObject({ name: 'AbortError' });
    }
  });
});

describe('fetchFor compared with fetch', () => {
  type Fetch = (url: string, init?: RequestInit) => Promise<Response>;
  const base = 'https://team-model-router.invalid/v1';
  const ask = (name: string) => ({
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(chat(name)),
  });
  const tried = async (work: () => unknown) => {
    try {
      return await work();
    } catch (error) {
      return error instanceof Error ? error.name : error;
    }
  };
  const chatOf = (fetchOf: Fetch, name: string, init: RequestInit = {}) =>
    fetchOf('/chat/completions', { ...ask(name), ...init });
  const same: Record<string, (fetchOf: Fetch) => unknown> = {
    'headers that cannot be changed': async (fetchOf) => {
      const response = await chatOf(fetchOf, 'json');
      const kept = response.headers.get('content-type');
      const changes = [response, response.clone(), response.clone().clone()].flatMap(({ headers }) => [
        tried(() => headers.set('content-type', 'a/b')),
        tried(() => headers.append('content-type', 'a/b')),
        tried(() => headers.delete('content-type')),
      ]);
      return [await Promise.all(changes), response.headers.get('content-type') === kept];
    },
    'a copy of its headers': async (fetchOf) => {
      const copy = new Headers((await chatOf(fetchOf, 'json')).headers);
      copy.set('x-a', '1');
      return copy.get('x-a');
    },
    'another response of it': async (fetchOf) => {
      const response = await chatOf(fetchOf, 'json');
      const other = new Response(response.body, response);
      other.headers.set('x-a', '1');
      return [other.status, other.statusText, other.headers.get('x-a'), await other.text()];
    },
    'status texts': async (fetchOf) => [
      (await chatOf(fetchOf, 'json')).statusText,
      (await chatOf(fetchOf, 'refused')).statusText,
      (await fetchOf('/files/mark-204-end/content')).statusText,
    ],
    'an abort after a whole answer': async (fetchOf) => {
      const seen: unknown[] = [];
      for (const way of ['text', 'json', 'arrayBuffer', 'blob'] as const) {
        const leaving = new AbortController();
        const response = await chatOf(fetchOf, 'json', { signal: leaving.signal });
        leaving.abort();
        seen.push(await tried(() => response[way]()));
      }
      return seen;
    },
    'an abort before a reader reads': async (fetchOf) => {
      const leaving = new AbortController();
      const response = await chatOf(fetchOf, 'json', { signal: leaving.signal });
      leaving.abort('enough');
      return tried(() => response.body?.getReader().read());
    },
    'an abort after the answer was read': async (fetchOf) => {
      const leaving = new AbortController();
      const response = await chatOf(fetchOf, 'json', { signal: leaving.signal });
      const text = await response.text();
      leaving.abort();
      return text;
    },
    'a body of GET and HEAD': (fetchOf) =>
      Promise.all(
        ['GET', 'HEAD', 'get', 'head'].map((method) =>
          tried(() => fetchOf('/models', { method, body: 'x' })),
        ),
      ),
    'an empty body of GET': (fetchOf) => tried(() => fetchOf('/models', { method: 'GET', body: '' })),
  };

  it.each(Object.keys(same))('agrees about %s', async (name) => {
    const own: Fetch = (path, init) =>
      router.fetchFor('acme')(path.startsWith('/') ? base + path : path, init);
    const plain: Fetch = (path, init) =>
      fetch(path.startsWith('/') ? `${provider.url}/v1${path}` : path, init);
    const expected = await same[name]?.(plain);
    expect(await same[name]?.(own)).toEqual(expected);
  });

  // Node's fetch has a reason of its own here, against the standard.
  it('rejects with the reason of an abort after a whole answer', async () => {
    for (const reason of ['enough', new RangeError('enough')]) {
      const leaving = new AbortController();
      const init = { ...ask('json'), signal: leaving.signal };
      const fetchOf = router.fetchFor('acme');
      const responses = [
        await fetchOf(`${base}/chat/completions`, init),
        await fetchOf(new Request(`${base}/chat/completions`, init)),
      ];
      leaving.abort(reason);
      for (const response of responses) await expect(response.text()).rejects.toBe(reason);
    }
  });

  it('takes URLSearchParams, and says what to send instead', async () => {
    const json = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } };
    const asCurl = { ...json, body: ` ${ask('json').body}` };
    expect((await router.fetchFor('acme')(`${base}/chat/completions`, asCurl)).status).toBe(200);
    for (const path of ['/chat/completions', '/audio/transcriptions']) {
      const body = new URLSearchParams({ model: 'm' });
      const response = await router.fetchFor('acme')(base + path, { method: 'POST', body });
      expect([
        response.status,
        ((await response.json()) as { error: { message: string } }).error.message,
      ]).toEqual([400, expect.stringContaining('x-www-form-urlencoded')]);
    }
  });
});

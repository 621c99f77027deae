import { gzipSync } from 'node:zlib';
import OpenAI from 'openai';
import OpenAI7 from 'openai-7';
import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chunkedAnswer, type RawProvider, rawProvider } from '../support/raw-provider.ts';
import { chatChunks, chatCompletion } from '../support/recording-provider.ts';

/** One odd answer. */
interface Case {
  name: string;
  call: keyof typeof calls;
  bytes: Buffer;
  /** Why ours is an error where the plain client takes the answer; by name, since nothing else may differ. */
  differs?: string;
}

const calls = {
  chat: (client: OpenAI, id: string) =>
    client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: id }] }),
  stream: (client: OpenAI, id: string) =>
    client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: id }], stream: true }),
  'responses stream': (client: OpenAI, id: string) =>
    client.responses.create({ model: 'm', input: id, stream: true }),
  'response run again': (client: OpenAI, id: string) => client.responses.retrieve(id, { stream: true }),
  'delete a file': (client: OpenAI, id: string) => client.files.delete(id),
  'file content': async (client: OpenAI, id: string) => (await client.files.content(id)).text(),
  speech: async (client: OpenAI, id: string) =>
    (await client.audio.speech.create({ model: 'm', voice: 'alloy', input: id })).text(),
  transcription: (client: OpenAI, id: string) =>
    client.audio.transcriptions.create({
      model: 'm',
      prompt: id,
      response_format: 'srt',
      file: new File(['sound'], 'a.mp3'),
    }),
};

const completion = JSON.stringify(chatCompletion('m'));
const long = JSON.stringify(chatCompletion('m', 'x'.repeat(100_000)));
const labels: Record<string, string[]> = {
  json: ['content-type: application/json'],
  'json with a charset': ['content-type: application/json; charset=utf-8'],
  'json twice': ['content-type: application/json', 'content-type: application/json'],
  'json listed twice': ['content-type: application/json, application/json'],
  'json listed after another type': ['content-type: text/plain, application/json; charset=utf-8'],
  'json after another type': ['content-type: text/plain', 'content-type: application/json'],
  'another json': ['content-type: application/vnd.api+json'],
  'text/plain': ['content-type: text/plain'],
  nothing: [],
  'content-encoding none': ['content-type: application/json', 'content-encoding: none'],
  'content-encoding identity': ['content-type: application/json', 'content-encoding: identity'],
  'content-encoding empty': ['content-type: application/json', 'content-encoding:'],
  'content-encoding utf-8': ['content-type: application/json', 'content-encoding: utf-8'],
};

const sent = (lines: string[], body: string | Buffer, status = '200 OK') =>
  Buffer.concat([
    Buffer.from(
      `HTTP/1.1 ${[status, ...lines, `content-length: ${Buffer.byteLength(body)}`].join('\r\n')}\r\n\r\n`,
    ),
    Buffer.from(body),
  ]);

const bodies: Record<string, string | Buffer> = {
  'a completion': completion,
  'a long completion': long,
  'a completion behind 100 000 spaces': ' '.repeat(100_000) + completion,
  'a completion behind 900 000 line breaks': '\n'.repeat(900_000) + completion,
  'a completion before 70 000 spaces': completion + ' '.repeat(70_000),
  'a completion and a line break': `${completion}\r\n`,
  'a completion behind a byte order mark': `\ufeff${completion}`,
  'a completion with "error": {}': completion.replace('{', '{"error":{},'),
  'a completion with "error": null': completion.replace('{', '{"error":null,'),
  'a completion with "error": false': completion.replace('{', '{"error":false,'),
  'a completion with "error": ""': completion.replace('{', '{"error":"",'),
  'data beside an error': '{"error":{"message":"partly"},"choices":[]}',
  'an empty object': '{}',
  'an empty list': '[]',
  null: 'null',
  'a string': '"hello"',
  'a long string': JSON.stringify('x'.repeat(100_000)),
  'a number': '12',
  nothing: '',
};

const chunks = chatChunks('m').map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`);
const [hello = '', there = '', finish = ''] = chunks;
const done = 'data: [DONE]\n\n';
const index1 = (event: string) => event.replace('"index":0', '"index":1');
const streamLabels: Record<string, string[]> = {
  'text/event-stream': ['content-type: text/event-stream'],
  'event-stream with a charset': ['content-type: text/event-stream; charset=utf-8'],
  'text/plain': ['content-type: text/plain'],
  'application/x-ndjson': ['content-type: application/x-ndjson'],
  'application/json': ['content-type: application/json'],
  'text/html': ['content-type: text/html'],
  nothing: [],
  'one type listed twice': ['content-type: text/event-stream, text/event-stream'],
  'two types in a list': ['content-type: text/plain, text/event-stream'],
  'two types': ['content-type: text/event-stream', 'content-type: application/json'],
};
const streams: Record<string, { text: string; differs?: string }> = {
  whole: { text: hello + there + finish + done },
  'with an index as text': {
    text: (hello + there + finish).replaceAll('"index":0', '"index":"0"'),
  },
  'with an index as text in its end alone': {
    text: hello + there + finish.replaceAll('"index":0', '"index":"0"'),
  },
  'without [DONE]': { text: hello + there + finish },
  'without a space behind the colon': { text: (hello + there + finish + done).replaceAll('data: ', 'data:') },
  'in CRLF': { text: (hello + there + finish + done).replaceAll('\n', '\r\n') },
  'behind comments': { text: `: hello\n\n: ping\n\n${hello}${finish}${done}` },
  'behind blank lines': { text: `\n\n\n${hello}${finish}${done}` },
  'with a comment behind its end': { text: `${hello}${finish}${done}: bye\n\n` },
  'with id and retry': { text: `id: 1\nretry: 3\n${hello}${finish}${done}` },
  'of two choices': { text: hello + index1(hello) + finish + index1(finish) },
  'of comments alone': { text: ': still here\n\n: still here\n\n' },
  'cut before its finish reason': { text: hello + there, differs: 'a cut stream is an error' },
  'cut after one of two choices': {
    text: hello + index1(hello) + finish,
    differs: 'a cut stream is an error',
  },
  'cut with an empty finish reason': {
    text: (hello + there).replaceAll('"finish_reason":null', '"finish_reason":""'),
    differs: 'a cut stream is an error',
  },
};

const typed = (value: Record<string, unknown>) => `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`;
const responseEvents = typed({ type: 'response.created', sequence_number: 0, response: { id: 'resp_1' } });
const content = [
  'application/json',
  'text/event-stream',
  'text/html',
  'text/plain',
  'application/octet-stream',
];
const contents: Record<string, string> = {
  JSONL: '{"a":1}\n{"b":2}\n',
  'one line with an error': '{"error":{"message":"of this line"}}',
  'events that are cut': 'data: {"x":1}\n\ndata: {"er',
  'an error event': 'data: {"error":{"message":"content"}}\n\n',
  'half of a JSON text': '{"a":',
  'a page': '<html>hello</html>',
  nothing: '',
};

const cases: Case[] = [
  ...Object.entries(labels).flatMap(([label, lines]) =>
    Object.entries(bodies).map(
      ([body, bytes]): Case => ({
        name: `${body}, labelled ${label}`,
        call: 'chat',
        bytes: sent(lines, bytes),
      }),
    ),
  ),
  ...Object.entries(streamLabels).flatMap(([label, lines]) =>
    Object.entries(streams).map(
      ([stream, { text, differs }]): Case => ({
        name: `a stream ${stream}, labelled ${label}`,
        call: 'stream',
        bytes: sent(lines, text),
        ...(differs === undefined ? {} : { differs }),
      }),
    ),
  ),
  ...(['file content', 'speech', 'transcription'] as const).flatMap((call) =>
    content
      // Without JSON the client parses what is labelled so; that is no matter of ours.
      .filter((type) => call !== 'transcription' || type !== 'application/json')
      .flatMap((type) =>
        Object.entries(contents)
          .filter(
            ([body]) => call !== 'transcription' || type !== 'text/event-stream' || !body.includes('event'),
          )
          .map(
            ([body, bytes]): Case => ({
              name: `${body}, labelled ${type}`,
              call,
              bytes: sent([`content-type: ${type}`], bytes),
            }),
          ),
      ),
  ),
  { name: 'nothing under 200', call: 'delete a file', bytes: sent(labels.json ?? [], '') },
  { name: 'nothing under 200, without a type', call: 'delete a file', bytes: sent([], '') },
  { name: '204', call: 'delete a file', bytes: Buffer.from('HTTP/1.1 204 No Content\r\n\r\n') },
  {
    name: 'gzip',
    call: 'chat',
    bytes: sent(['content-type: application/json', 'content-encoding: gzip'], gzipSync(completion)),
  },
  {
    name: 'gzip twice',
    call: 'chat',
    bytes: sent(
      ['content-type: application/json', 'content-encoding: gzip, gzip'],
      gzipSync(gzipSync(completion)),
    ),
  },
  {
    name: 'tiny chunks',
    call: 'chat',
    bytes: chunkedAnswer({ 'content-type': 'application/json' }, completion, 1),
  },
  {
    name: 'tiny chunks of a stream',
    call: 'stream',
    bytes: chunkedAnswer({ 'content-type': 'text/event-stream' }, hello + finish + done, 1),
  },
  {
    name: 'an error alone',
    call: 'chat',
    bytes: sent(labels.json ?? [], '{"error":{"message":"no","type":"server_error"}}'),
    differs: 'an error under a 200 is one',
  },
  {
    name: 'JSON',
    call: 'stream',
    bytes: sent(labels.json ?? [], completion),
    differs: 'JSON for a stream is an error, where the plain client sees no chunk',
  },
  {
    name: 'JSON that says it is a stream',
    call: 'stream',
    bytes: sent(streamLabels['text/event-stream'] ?? [], completion),
    differs: 'JSON for a stream is an error, where the plain client sees no chunk',
  },
  {
    name: 'nothing',
    call: 'stream',
    bytes: sent(streamLabels['text/event-stream'] ?? [], ''),
    differs: 'a cut stream is an error',
  },
  ...['response.completed', 'response.failed', 'response.incomplete'].map(
    (type): Case => ({
      name: `a stream that ends in ${type}`,
      call: 'responses stream',
      bytes: sent(
        streamLabels['text/event-stream'] ?? [],
        responseEvents + typed({ type, sequence_number: 1, response: { id: 'resp_1' } }),
      ),
      ...(type === 'response.failed' && { differs: 'a stream that has only failed is an error' }),
    }),
  ),
  {
    name: 'a stream without its end',
    call: 'responses stream',
    bytes: sent(streamLabels['text/event-stream'] ?? [], responseEvents),
    differs: 'a cut stream is an error',
  },
  {
    name: 'a stream without its end',
    call: 'response run again',
    bytes: sent(streamLabels['text/event-stream'] ?? [], responseEvents),
  },
  {
    name: 'a stream without an event',
    call: 'response run again',
    bytes: sent(streamLabels['text/event-stream'] ?? [], ''),
  },
];

let provider: RawProvider;
let router: TeamModelRouter;
let gateway: GatewayServer;
let key: string;

beforeAll(async () => {
  provider = await rawProvider((socket, request) => {
    socket.write(cases[Number(/case-(\d+)-/.exec(request)?.[1])]?.bytes ?? 'nonsense');
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  await router.createTeam({ team_id: 'acme', settings: { num_retries: 0, allowed_fails: 1_000 } });
  const litellm_params = { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.addModel('acme', { model_name: 'm', litellm_params });
  key = (await router.createKey('acme')).key;
  gateway = await serveGateway(createGateway(router, { masterKey: 'm'.repeat(32) }), { port: 0 });
});

afterAll(async () => {
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

/** What a caller sees: the value, or the chunks, or that it was an error. */
async function seen(client: OpenAI, { call }: Case, id: string): Promise<string> {
  const given: unknown[] = [];
  try {
    const value: unknown = await (calls[call] as (client: OpenAI, id: string) => Promise<unknown>)(
      client,
      id,
    );
    if (typeof value !== 'object' || value === null || !(Symbol.asyncIterator in value))
      return `value ${JSON.stringify(value)}`;
    for await (const chunk of value as AsyncIterable<unknown>) given.push(chunk);
    return `chunks ${JSON.stringify(given)}`;
  } catch (error) {
    // What came before an error is the same as well.
    return error instanceof TypeError && error.message.includes('undefined')
      ? String(error)
      : `error behind ${JSON.stringify(given)}`;
  }
}

const versions = { 'openai 6': OpenAI, 'openai 7': OpenAI7 as unknown as typeof OpenAI };

it('the corpus has more than 200 answers', () => {
  expect(cases.length).toBeGreaterThan(200);
  expect(new Set(cases.map(({ call, name }) => `${call} ${name}`)).size).toBe(cases.length);
});

describe.each(Object.entries(versions))('%s', (_, Client) => {
  it.each(['in-process', 'over HTTP'])(
    'sees %s what the plain client sees of every odd answer',
    async (door) => {
      const options = { maxRetries: 0, logLevel: 'off' as const };
      const plain = new Client({ ...options, apiKey: 'x', baseURL: `${provider.url}/v1` });
      const ours =
        door === 'in-process'
          ? new Client({ ...options, apiKey: 'x', baseURL: teamBaseUrl, fetch: router.fetchFor('acme') })
          : new Client({ ...options, apiKey: key, baseURL: `${gateway.url}/v1` });
      const wrong: unknown[] = [];
      for (const [index, each] of cases.entries()) {
        const id = `case-${index}-`;
        const before = provider.requests.length;
        const [expected, given] = [await seen(plain, each, id), await seen(ours, each, id)];
        const asked = provider.requests.length - before;
        const agreed =
          each.differs === undefined
            ? expected === given
            : !expected.startsWith('error') && given.startsWith('error');
        if (!agreed || asked !== 2)
          wrong.push({
            name: `${each.call}: ${each.name}`,
            expected: expected.slice(0, 200),
            given: given.slice(0, 200),
            asked,
          });
      }
      expect(wrong).toEqual([]);
    },
  );
});

import type { ServerResponse } from 'node:http';
import {
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  type RouterOptions,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { safeToken, safeWords } from '../../src/calls/upstream/safe-words.ts';
import {
  chatChunks,
  chatCompletion,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../support/recording-provider.ts';

const account = {
  'openai-organization': 'operator-inc',
  'openai-project': 'proj_0AbCdEfGh',
  'openai-processing-ms': '12',
  'openai-version': '2020-10-01',
  'x-ratelimit-limit-requests': '5000',
  'x-ratelimit-remaining-tokens': '99',
  'x-request-id': 'req_1',
};
const words =
  'Rate limit reached for gpt-4o in organization org-AbC123dEf456 (operator-inc) on tokens per min. Project proj_0AbCdEfGh, key sk-pr****zq07, request at api.';

let provider: RecordingProvider;
let answer: (response: ServerResponse) => void;
let router: TeamModelRouter;
let receipts: Receipt[];

async function make(egress: RouterOptions['egress'] = {}): Promise<void> {
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], allowShared: [provider.url], ...egress },
    onCall: (receipt) => receipts.push(receipt),
  });
  const litellm_params = {
    model: 'openai/x',
    api_key: 'sk-0123456789abcdefzq07',
    api_base: provider.url,
    organization: 'operator-inc',
    num_retries: 0,
  };
  await router.createTeam({ team_id: 'acme', models: ['shared'] });
  await router.addModel('acme', { model_name: 'own', litellm_params });
  await router.addSharedModel({ model_name: 'shared', litellm_params });
}

beforeEach(async () => {
  receipts = [];
  answer = (response) => sendJson(response, 200, chatCompletion('x'), account);
  provider = await recordingProvider((_, response) => answer(response));
  await make();
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

async function ask(model: string, stream = false, responses = false) {
  const path = responses ? 'responses' : 'chat/completions';
  const content = responses
    ? { input: 'hello', store: false }
    : { messages: [{ role: 'user', content: 'hello' }] };
  const response = await router.fetchFor('acme')(`${teamBaseUrl}/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream, ...content }),
  });
  const text = await response.text().catch(String);
  return { status: response.status, headers: Object.fromEntries(response.headers), text };
}

const namesTheAccount = /operator-inc|org-AbC|proj_0|zq07|ratelimit/;

describe.each<[string, () => void, boolean]>([
  ['an answer', () => {}, false],
  ['a refusal', () => fail(429), false],
  ['a refusal of its own shape', () => send(422, { detail: words }), false],
  ['an error under a 200', () => send(200, { error: { message: words, code: 429 } }), false],
  ['a rejected key', () => fail(401), false],
  ['an error event', () => events(), true],
])('%s', (_, prepare, stream) => {
  it("of a shared deployment showed the operator's account", async () => {
    prepare();
    const { headers, text } = await ask('shared', stream);
    expect(JSON.stringify([headers, text])).not.toMatch(namesTheAccount);
    expect(headers['x-litellm-model-group']).toBe('shared');
  });

  it("of a team's own deployment shows the provider's words", async () => {
    prepare();
    const { headers, text } = await ask('own', stream);
    expect(JSON.stringify([headers, text])).toMatch(namesTheAccount);
  });
});

function fail(status: number): void {
  send(status, { error: { message: words, type: 'requests', param: null, code: 'rate_limit_exceeded' } });
}

function send(status: number, body: object): void {
  answer = (response) => sendJson(response, status, body, account);
}

function events(): void {
  answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', ...account });
    response.write(`data: ${JSON.stringify(chatChunks('x')[0])}\n\n`);
    response.end(`data: ${JSON.stringify({ error: { message: words, type: 'x', code: null } })}\n\n`);
  };
}

/** What no list of names foresees: an account's ids, names, hosts, addresses, keys, hashes and people. */
const accountWords = [
  'org-kQzXbWvLmNpRtYsDfGhJcVaE',
  'proj_kQzXbWvLmNpRtYsDfGhJcVaE',
  'user_kQzXbWvLmNpRtYsDfGhJcVaEabc',
  'vllm-7b.prod.internal',
  'VLLM-7B.PROD.INTERNAL:8000',
  'http%3A%2F%2Fvllm%2D7b.prod.internal%3A8000',
  'vllm\\u002d7b.prod.internal',
  'OPERATOR-INC',
  'projects/418273645510',
  '418273645510',
  '203.0.113.77',
  '10.96.0.10:53',
  '[fd12:3456::1]:8000',
  'xai-Ab***78',
  '88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b',
  'arn:aws:iam::123456789012:user/bedrock-prod',
  'vertex-runner@contoso-prod.iam.gserviceaccount.com',
  'accounts/contoso-ai/deployments/y',
  'contoso-prod-eastus',
  'Contoso',
  'hf_abcdefghijklmnopqrstuvwxyz',
  '/srv/contoso/serve.py',
];
const sentence = (names: readonly string[]) =>
  `The request is not valid for ${names.join(' or ')} because the value of the field is too long for the model.`;
const asSent = (name: string) => name.replace('\\u002d', '-');

const typed = (data: object) => `event: response.created\ndata: ${JSON.stringify(data)}\n\n`;
const chunk = `data: ${JSON.stringify(chatChunks('x')[0])}\n\n`;
const created = typed({ type: 'response.created', sequence_number: 0, response: { id: 'r' } });

/** The forms in which a provider can tell of an error, with a placeholder for its words. */
const forms: [
  string,
  { status?: number; type?: string; responses?: boolean; stream?: boolean; body: string },
][] = [
  ...[400, 402, 403, 404, 413, 422, 429, 500, 503].map((status): (typeof forms)[number] => [
    `the status ${status}`,
    { status, body: '{"error":{"message":"WORDS","type":"WORDS","param":"WORDS","code":"WORDS"}}' },
  ]),
  [
    'Google’s array',
    { status: 403, body: '[{"error":{"code":403,"message":"WORDS","details":[{"reason":"WORDS"}]}}]' },
  ],
  ['an error that is text', { status: 400, body: '{"code":"WORDS","error":"WORDS"}' }],
  ['a detail', { status: 500, body: '{"detail":"WORDS"}' }],
  ['a member beside the error', { status: 402, body: '{"error":{"message":"no"},"user_id":"WORDS"}' }],
  ['the text of a proxy', { status: 502, type: 'text/plain', body: 'dial tcp: lookup WORDS: no such host' }],
  [
    'the page of a proxy',
    { status: 502, type: 'text/html', body: '<html><body>upstream WORDS</body></html>' },
  ],
  ['an error under a 200', { body: '{"error":{"message":"WORDS"}}' }],
  ['a detail under a 200', { body: '{"detail":"WORDS"}' }],
  ['an object that is an error under a 200', { body: '{"object":"error","message":"WORDS","code":40303}' }],
  ['a base_resp under a 200', { body: '{"id":"1","base_resp":{"status_code":1008,"status_msg":"WORDS"}}' }],
  ['a detail beside the choices', { body: '{"id":"x","choices":[],"detail":"WORDS"}' }],
  ['an error of a choice', { body: '{"id":"x","choices":[{"index":0,"error":{"message":"WORDS"}}]}' }],
  ['an array with an error under a 200', { body: '[{"error":{"code":403,"message":"WORDS"}}]' }],
  ['a string under a 200', { body: '"WORDS"' }],
  ...['error_msg', 'error_message', 'details', 'msg', 'reason', 'description', 'status_msg', 'fault'].map(
    (name): (typeof forms)[number] => [
      `${name} under a 200`,
      { body: `{"id":"1","code":40303,"${name}":"WORDS"}` },
    ],
  ),
  ['words beside a code of success', { body: '{"code":0,"msg":"WORDS","embedding":[1]}' }],
  ['lines of JSON under a 200', { type: 'application/x-ndjson', body: '{"error":"WORDS"}\n' }],
  ['text under a 200', { type: 'text/plain', body: 'WORDS' }],
  [
    'a failed response under a 200',
    {
      responses: true,
      body: '{"id":"r","object":"response","status":"failed","output":[],"error":{"code":"WORDS","message":"WORDS"}}',
    },
  ],
  [
    'a long failed response under a 200',
    {
      responses: true,
      body: `{"id":"r","instructions":"${'x'.repeat(70_000)}","status":"failed","output":[],"error":{"code":"x","message":"WORDS"}}`,
    },
  ],
  ...(
    [
      ['an error event', `${chunk}data: {"error":{"message":"WORDS"}}\n\n`],
      ['an error event that comes first', 'data: {"error":{"message":"WORDS"}}\n\n'],
      ['an error event without its end', `${chunk}data: {"error":{"message":"WORDS"}}`],
      ['an error event that is text', `${chunk}event: error\ndata: WORDS\n\n`],
      [
        'an error event with carriage returns',
        `${chunk}event: error\r\ndata: {"error":{"message":"WORDS"}}\r\n\r\n`,
      ],
      [
        'an error over two lines of data',
        `${chunk}event: error\ndata: {"error":\ndata: {"message":"WORDS"}}\n\n`,
      ],
      ['an event with a detail', `${chunk}data: {"detail":"WORDS","status":429}\n\n`],
      [
        'an event whose object is an error',
        `${chunk}data: {"object":"error","message":"WORDS","code":40303}\n\n`,
      ],
      ['an error behind the end', `${chunk}data: [DONE]\n\ndata: {"error":{"message":"WORDS"}}\n\n`],
      [
        'an error of a choice in an event',
        'data: {"id":"c","choices":[{"index":0,"finish_reason":"error","error":{"message":"WORDS"}}]}\n\ndata: [DONE]\n\n',
      ],
      ['a comment', `${chunk}: WORDS\n\ndata: [DONE]\n\n`],
      ['a comment before an event', `: WORDS\n${chunk}data: [DONE]\n\n`],
      ['an id', `${chunk}id: WORDS\ndata: [DONE]\n\n`],
      ['a retry time', `${chunk}retry: WORDS\ndata: [DONE]\n\n`],
      ['an event that is not JSON', `${chunk}data: WORDS\n\n`],
      ['lines that are no events', `${chunk}WORDS\n\n`],
      [
        'a long event with an error',
        `${chunk}data: {"x":"${'y'.repeat(1_100_000)}","error":{"message":"WORDS"}}\n\n`,
      ],
      ['a long line that is no event', `${chunk}data: ${'y'.repeat(1_100_000)} WORDS\n\n`],
    ] as const
  ).map(([name, body]): (typeof forms)[number] => [name, { stream: true, type: 'text/event-stream', body }]),
  ...(
    [
      [
        'response.failed',
        `${created}event: response.failed\ndata: {"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"x","message":"WORDS"}}}\n\n`,
      ],
      [
        'response.incomplete',
        `${created}event: response.incomplete\ndata: {"type":"response.incomplete","response":{"id":"r","incomplete_details":{"reason":"WORDS"}}}\n\n`,
      ],
      [
        'the error event of Responses',
        `${created}event: error\ndata: {"type":"error","code":"x","message":"WORDS"}\n\n`,
      ],
    ] as const
  ).map(([name, body]): (typeof forms)[number] => [
    name,
    { stream: true, responses: true, type: 'text/event-stream', body },
  ]),
];

describe.each(forms)('%s of a shared deployment', (_, { status = 200, type, responses, stream, body }) => {
  it.each([0, 7])("showed the operator's account, in pieces of %i bytes", async (size) => {
    const seen: string[] = [];
    for (let first = 0; first < accountWords.length; first += 4) {
      const names = accountWords.slice(first, first + 4);
      const bytes = Buffer.from(body.replaceAll('WORDS', sentence(names)));
      answer = (response) => {
        response.writeHead(status, { 'content-type': type ?? 'application/json' });
        const step = size === 0 || bytes.length > 10_000 ? 65_536 : size;
        for (let at = 0; at < bytes.length; at += step) response.write(bytes.subarray(at, at + step));
        response.end();
      };
      const { headers, text } = await ask(await shared(), stream, responses);
      const shown = JSON.stringify(headers) + text;
      seen.push(...names.filter((name) => shown.includes(name) || shown.includes(asSent(name))));
    }
    expect(seen).toEqual([]);
  });
});

describe('an answer of a shared deployment in a shape that is not OpenAI’s', () => {
  it.each<[object, object?]>([
    [{ embedding: [0.5], usage: { total_tokens: 1 } }],
    [{ id: 'x', message: { role: 'assistant', content: 'hi' }, finish_reason: 'COMPLETE' }],
    [{ vectors: [[1]], base_resp: { status_code: 0, status_msg: 'success' } }, { vectors: [[1]] }],
    [
      { code: 0, msg: 'ok', embeddings: [[1]] },
      { code: 0, embeddings: [[1]] },
    ],
    [
      { object: 'list', errors: [], error: null, embeddings: [[1]] },
      { object: 'list', error: null, embeddings: [[1]] },
    ],
    [[{ embedding: [1] }]],
    [{}],
  ])('%j passes', async (given, shown = given) => {
    send(200, given);
    const { status, text } = await ask('shared');
    expect([status, JSON.parse(text)]).toEqual([200, shown]);
  });

  it.each([
    { id: 'x', error: { message: 'no' } },
    { object: 'error', message: 'no', code: 40303 },
    { detail: [{ msg: 'no' }] },
    { base_resp: { status_code: 1008, status_msg: 'no' } },
    { error_code: 17, error_msg: 'no' },
  ])('%j is a failure', async (given) => {
    send(200, given);
    expect((await ask(await shared())).status).toBe(502);
  });
});

/** Registers another shared model: failures of the last one must not keep a call from its provider. */
let count = 0;
async function shared(): Promise<string> {
  const name = `shared-${++count}`;
  await router.addSharedModel({
    model_name: name,
    litellm_params: {
      model: 'openai/x',
      api_key: 'sk-0123456789abcdefzq07',
      api_base: provider.url,
      num_retries: 0,
    },
  });
  await router.updateTeam('acme', { models: ['shared', name] });
  return name;
}

it("header of a shared deployment's answer showed a host or a name of the account", async () => {
  for (const status of [200, 500]) {
    answer = (response) =>
      sendJson(response, status, status === 200 ? chatCompletion('x') : { error: { message: 'no' } }, {
        ...account,
        'x-request-id': 'vllm-7b.prod.internal/abc',
        'content-disposition': 'attachment; filename=operator-inc.json',
        'retry-after': 'operator-inc',
        'content-type': 'application/json; host=operator-inc',
      });
    const { headers } = await ask('shared');
    expect(JSON.stringify(headers)).not.toMatch(/vllm|operator|proj_/);
    expect(headers['x-request-id']).toBe(headers['x-litellm-call-id']);
    expect(headers['openai-processing-ms']).toBe('12');
  }
});

describe.each(accountWords)('%s', (name) => {
  it('passed as a code, a type or a field, or in a message', () => {
    expect(safeToken(name)).toBeNull();
    expect(safeWords(`The value of ${name} is not valid.`)).toBe('The value of ... is not valid.');
  });
});

it.each([
  ['invalid_request_error', true],
  ['context_length_exceeded', true],
  ['messages[0].content', true],
  ['InvalidParameter', true],
  ['DataInspectionFailed', true],
  ['insufficient_quota', true],
  ['1300', true],
  [429, true],
  ['operator', false],
  ['messages.contoso', false],
  ['4182736', false],
])('%s as a code passes: %s', (code, passes) => {
  expect(safeToken(code)).toBe(passes ? code : null);
});

describe('an error of a shared deployment tells what the caller can mend', () => {
  it.each<[number, object, string]>([
    [
      400,
      {
        message:
          "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens. Please reduce the length of the messages.",
        type: 'invalid_request_error',
        param: 'messages',
        code: 'context_length_exceeded',
      },
      "The request is longer than the context of the model. The provider says: This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens. Please reduce the length of the messages.",
    ],
    [
      400,
      {
        message: "Invalid type for 'messages[0].content': expected a string, but got an integer instead.",
        type: 'invalid_request_error',
        param: 'messages[0].content',
        code: 'invalid_type',
      },
      "The provider rejected the request. The provider says: Invalid type for 'messages[0].content': expected a string, but got an integer instead.",
    ],
    [
      422,
      {
        message: 'The value contoso-7 of max_tokens is too large',
        type: 'x',
        param: 'max_tokens',
        code: 1300,
      },
      'The provider rejected the request. The provider says: The value ... of max_tokens is too large',
    ],
    [
      429,
      { message: words, type: 'tokens', param: null, code: 'rate_limit_exceeded' },
      'This shared model is at its rate limit. Retry later.',
    ],
  ])('%i %j', async (status, error, message) => {
    send(status, { error });
    const { text } = await ask('shared');
    const safe = { ...error, message };
    expect(JSON.parse(text).error).toEqual(
      'type' in safe && safe.type === 'x' ? { ...safe, type: 'provider_error' } : safe,
    );
  });

  it('and the operator, by its own call and by the receipt, what the provider said', async () => {
    fail(429);
    await ask('shared');
    expect(receipts.at(-1)?.attempts[0]?.providerMessage).toContain('org-AbC123dEf456');
    events();
    await ask(await shared(), true);
    expect(receipts.at(-1)?.attempts[0]?.providerMessage).toContain('org-AbC123dEf456');
    fail(400);
    const { body } = await router.dispatch(
      { teamId: null },
      {
        method: 'POST',
        path: '/chat/completions',
        query: new URLSearchParams(),
        headers: new Headers({ 'content-type': 'application/json' }),
        body: '{"model":"shared","messages":[]}',
      },
    );
    const own = body instanceof Uint8Array ? Buffer.from(body).toString() : '';
    expect(own).toContain('org-AbC123dEf456');
  });
});

describe("a team's model at an internal name", () => {
  const lookup: NonNullable<RouterOptions['egress']>['lookup'] = (host, _, callback) => {
    if (host === 'internal.corp') callback(null, [{ address: '10.1.2.3', family: 4 }]);
    else callback(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), []);
  };

  it('could be told from one at a name that does not exist: registered, tested, called, and in its health', async () => {
    await router.close();
    await make({ lookup });
    const outcome = async (host: string) => {
      const body = {
        model_name: host,
        litellm_params: { model: 'openai/x', api_key: 'sk-0123456789abcdef', api_base: `https://${host}/v1` },
      };
      const { model_info } = await router.addModel('acme', body);
      const tested = [
        await router.testModel('acme', body),
        await router.testModel('acme', { id: model_info.id }),
      ];
      const { status, text, headers } = await ask(host);
      const { state, failures } =
        (await router.health('acme')).deployments.find(({ id }) => id === model_info.id) ?? {};
      const attempts = headers['x-litellm-attempted-retries'];
      return { tested, status, text: text.replaceAll(host, 'HOST'), attempts, state, failures };
    };
    const none = await outcome('no-such.corp');
    expect(none).toMatchObject({ status: 502, failures: 0 });
    expect(await outcome('internal.corp')).toEqual(none);
  });
});

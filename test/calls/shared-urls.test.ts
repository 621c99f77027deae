import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  answerAsOpenAI,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../support/recording-provider.ts';

let provider: RecordingProvider;
let router: TeamModelRouter;

beforeAll(async () => {
  provider = await recordingProvider((request, response) => {
    if (/moderations|images/.test(request.url)) sendJson(response, 200, { results: [] });
    else answerAsOpenAI(request, response);
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], allowShared: [provider.url] },
  });
  const litellm_params = {
    model: 'openai/m',
    api_key: 'sk-0123456789abcdef',
    api_base: `${provider.url}/v1`,
  };
  const allow_fields = ['messages.content.image_url', 'documents'];
  await router.createTeam({ team_id: 'acme', models: ['all-proxy-models'] });
  await router.addSharedModel({ model_name: 'shared', litellm_params });
  await router.addSharedModel({
    model_name: 'allowing',
    litellm_params: { ...litellm_params, allow_fields },
  });
  await router.addModel('acme', { model_name: 'own', litellm_params });
  for (const name of ['hosted_vllm', 'groq', 'xai'])
    await router.addSharedModel({
      model_name: name,
      litellm_params: { ...litellm_params, model: `${name}/m` },
    });
});
beforeEach(() => {
  provider.requests.length = 0;
});
afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

/** @param content a part of a message, in JSON */
async function post(path: string, model: string, content: string): Promise<string> {
  const messages = `[{"role":"user","content":[${content}]}]`;
  const body: Record<string, string> = {
    '/chat/completions': `{"model":"${model}","messages":${messages}}`,
    '/responses': `{"model":"${model}","store":false,"input":${messages}}`,
    '/moderations': `{"model":"${model}","input":[${content}]}`,
    '/images/edits': `{"model":"${model}","prompt":"x",${content}}`,
  };
  return send(path, body[path] ?? '');
}

async function send(path: string, body: string): Promise<string> {
  const response = await router.fetchFor('acme')(`${teamBaseUrl}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const { error } = (await response.json()) as { error?: { code: string; param: string } };
  return error === undefined ? 'served' : `${error.code} ${error.param}`;
}

/** Where a call has the URL of content: the path, the part with a placeholder, and the field that is named. */
const places: [string, string, string][] = [
  ['/chat/completions', '{"type":"image_url","image_url":{"url":VALUE}}', 'messages.content.image_url.url'],
  ['/chat/completions', '{"type":"image_url","image_url":VALUE}', 'messages.content.image_url'],
  ['/chat/completions', '{"type":"image_url","image_url":[VALUE]}', 'messages.content.image_url'],
  ['/chat/completions', '{"type":"video_url","video_url":{"url":VALUE}}', 'messages.content.video_url.url'],
  ['/chat/completions', '{"type":"audio_url","audio_url":{"url":VALUE}}', 'messages.content.audio_url.url'],
  ['/chat/completions', '{"type":"file","file":{"file_data":VALUE}}', 'messages.content.file.file_data'],
  ['/responses', '{"type":"input_image","image_url":VALUE}', 'input.content.image_url'],
  ['/responses', '{"type":"input_file","file_url":VALUE}', 'input.content.file_url'],
  ['/responses', '{"type":"input_file","file_data":VALUE}', 'input.content.file_data'],
  ['/moderations', '{"type":"image_url","image_url":{"url":VALUE}}', 'input.image_url.url'],
];

/** Where a string may be base64 as well. */
const mediaPlaces: [string, string, string][] = [
  [
    '/chat/completions',
    '{"type":"input_audio","input_audio":{"data":VALUE,"format":"wav"}}',
    'messages.content.input_audio.data',
  ],
  ['/images/edits', '"image":VALUE', 'image'],
  ['/images/edits', '"image":["AAAA",VALUE]', 'image[]'],
  ['/images/edits', '"mask":VALUE', 'mask'],
];

const readsTheAccount = [
  'gs://operator/x.png',
  's3://operator/x.png',
  'file:///etc/passwd',
  'http://169.254.169.254/latest',
  'file-abc123',
  'files/abc123',
  '',
  ' https://example.com/x.png',
  'https:',
  'https://generativelanguage.googleapis.com/v1beta/files/abc',
  'HTTPS://x@GENERATIVELANGUAGE.googleapis.com./v1beta/files/abc',
  `https://example.com/${'x'.repeat(9_000)}`,
  // What other readers take for a URL of another host, or for one at all.
  'https:example.com/x.png',
  'https:/example.com/x.png',
  'https:\\\\example.com/x.png',
  'https://example.com\\@storage.googleapis.com/x.png',
  'https://storage.googleapis.com@example.com/x.png',
  'https://exam\tple.com/x.png',
  'https://example.com/x\n.png',
  'https://example..com/x.png',
];
const hosts = [
  // Addresses, and names that public DNS does not have.
  ...['127.0.0.1', '2130706433', '0x7f000001', '0177.0.0.1', '127.1', '10.0.0.1', '169.254.169.254'],
  ...['[::1]', '[fd00:ec2::254]', '[::ffff:169.254.169.254]', '8.8.8.8', '[2606:4700::1111]'],
  ...['localhost', 'localhost.', 'a.localhost', 'metadata', 'metadata.google.internal'],
  ...['METADATA.google.INTERNAL.', 'metadata\u3002google\u3002internal', '%6cocalhost', 'x.home.arpa'],
  ...['instance-data.ec2.internal', 'vllm.default.svc.cluster.local', 'vllm.default.svc', 'db.corp'],
  ...['nas.lan', 'x.onion', 'x.test', 'x.invalid', 'x.example'],
  // What is read with an account.
  ...['storage.googleapis.com/b/x.png', 'b.storage.googleapis.com/x.png'],
  ...['storage.cloud.google.com/b/x.png', 'api.openai.com/v1/files/file-1/content'],
  ...['eu.api.openai.com/v1/files/file-1/content', 'API.OPENAI.COM./v1/files/file-1/content'],
  ...['api.anthropic.com/v1/files/f/content', 'acme.openai.azure.com/openai/files/f/content'],
  ...['openrouter.ai/x', 'acme.blob.core.windows.net/c/x.png', 'acme.blob.core.windows.net/c/x.png?sig='],
];
const written = [
  ...[...readsTheAccount, ...hosts.map((host) => `https://${host}`)].map((value) => JSON.stringify(value)),
  '"\\u0067s://operator/x.png"',
  '"gs:\\/\\/operator\\/x.png"',
  '"https:\\/\\/generativelanguage.googleapis\\u002ecom/v1beta/files/abc"',
  '"\\u00"',
];

describe.each([...places, ...mediaPlaces])('%s with %s on a shared deployment', (path, part, field) => {
  it('is refused by name if the URL may be read with the account of the operator', async () => {
    const outcomes = new Map<string, string>();
    const isMedia = mediaPlaces.some(([, media]) => media === part);
    for (const value of written.filter((each) => !isMedia || !/^"[\w/]*"$/.test(each))) {
      const outcome = await post(
        path,
        'shared',
        part.replace('VALUE', () => value),
      );
      if (outcome !== `stateful_on_shared ${field}`) outcomes.set(value.slice(0, 80), outcome);
    }
    expect(outcomes).toEqual(new Map());
    expect(provider.requests).toEqual([]);
  });
});

const content = [
  '"https://example.com/x.png"',
  '"HTTPS://example.com/x.png?a=1#b"',
  '"https:\\/\\/example.com\\/x.png"',
  '"\\u0068ttps://example.com/x.png"',
  '"data:image/png;base64,AAAA"',
  '"DATA:image\\/png;base64,AAAA"',
  `"data:application/pdf;base64,${'A'.repeat(100_000)}"`,
  '"https://sub.example.co.uk:8443/x y.png"',
  '"https://b\u00fccher.example.com/x.png"',
  '"https://xn--bcher-kva.example.com/x.png"',
  '"https://acme.blob.core.windows.net/c/x.png?sv=1&sig=abc%3D"',
  '"https://bucket.s3.eu-west-1.amazonaws.com/x.png?X-Amz-Signature=abc"',
  '"https://myopenai.com/x.png"',
];

it.each([...places, ...mediaPlaces].filter(([, part]) => !part.includes('[VALUE]')))(
  '%s with %s is served by a shared deployment for https: and data: URLs',
  async (path, part) => {
    const outcomes = [];
    for (const value of content)
      outcomes.push(
        await post(
          path,
          'shared',
          part.replace('VALUE', () => value),
        ),
      );
    expect(new Set(outcomes)).toEqual(new Set(['served']));
  },
);

describe('base64 on a shared deployment', () => {
  it.each(mediaPlaces)('%s with %s is served', async (path, part) => {
    for (const value of ['"AAAA"', '"//uQ\\/AB+="', `"${'UklG'.repeat(100_000)}"`])
      expect(
        await post(
          path,
          'shared',
          part.replace('VALUE', () => value),
        ),
      ).toBe('served');
  });
});

/** Fields of providers beyond OpenAI's, and their strings. */
const ofProviders: [string, string, object, string][] = [
  ['vLLM', 'hosted_vllm', { documents: [{ text: 'x', url: 'http://10.0.0.1/' }] }, 'documents.url'],
  ['vLLM', 'hosted_vllm', { documents: ['\n file:/etc/passwd'] }, 'documents[]'],
  ['vLLM', 'hosted_vllm', { documents: [[{ a: { b: ['s3://b/x'] } }]] }, 'documents.a.b[]'],
  [
    'Groq',
    'groq',
    { documents: [{ source: { url: 'https://metadata.google.internal' } }] },
    'documents.source.url',
  ],
  [
    'vLLM',
    'hosted_vllm',
    { mm_processor_kwargs: { images: ['/etc/x.png'] } },
    'mm_processor_kwargs.images[]',
  ],
  ['vLLM', 'hosted_vllm', { mm_processor_kwargs: { videos: 'x.mp4' } }, 'mm_processor_kwargs.videos'],
  [
    'xAI',
    'xai',
    { search_parameters: { sources: [{ type: 'rss', links: ['http://127.0.0.1/'] }] } },
    'search_parameters.sources.links[]',
  ],
];

describe('a field that only some providers take', () => {
  const chat = (model: string, more: object) =>
    send('/chat/completions', JSON.stringify({ model, messages: [], ...more }));

  it.each(ofProviders)('%s: %s does not get %j', async (_, model, more, field) => {
    expect(await chat(model, more)).toBe(`stateful_on_shared ${field}`);
    expect(provider.requests).toEqual([]);
  });

  it.each<[string, object]>([
    ['hosted_vllm', { documents: [{ title: 'C:\\x', text: '// note: https://10.0.0.1 is down' }, 'a: b'] }],
    ['hosted_vllm', { documents: [{ url: 'https://example.com/x' }], mm_processor_kwargs: null }],
    [
      'hosted_vllm',
      { mm_processor_kwargs: { fps: 1, crop: true, size: { longest_edge: 9, edges: [1, 2] } } },
    ],
    [
      'xai',
      { search_parameters: { sources: [{ type: 'rss', links: ['https://status.example.com/feed'] }] } },
    ],
    ['allowing', { documents: ['gs://b/x', { url: 'gs://b/x' }] }],
  ])('%s gets %j', async (model, more) => {
    expect(await chat(model, more)).toBe('served');
  });
});

it('refuses a server of tools that only the provider can reach', async () => {
  const call = (server_url: string) =>
    send(
      '/responses',
      JSON.stringify({
        model: 'shared',
        store: false,
        input: 'x',
        tools: [{ type: 'mcp', server_label: 'l', server_url }],
      }),
    );
  expect(await call('http://127.0.0.1:8080/mcp')).toBe('stateful_on_shared tools.server_url');
  expect(await call('https://mcp.internal/mcp')).toBe('stateful_on_shared tools.server_url');
  expect(await call('https://mcp.example.com/mcp')).toBe('served');
});

it('serves any URL by a deployment of the team, and what the operator allowed', async () => {
  for (const [path, part] of [...places, ...mediaPlaces]) {
    for (const value of ['"gs://mine/x.png"', '"files/abc"'])
      expect(
        await post(
          path,
          'own',
          part.replace('VALUE', () => value),
        ),
      ).toBe('served');
  }
  const image = '{"type":"image_url","image_url":{"url":"http://10.0.0.1/x.png"}}';
  expect(await post('/chat/completions', 'allowing', image)).toBe('served');
});

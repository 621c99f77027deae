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
    if (request.url.endsWith('/moderations')) sendJson(response, 200, { results: [] });
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
  const allow_fields = ['messages.content.image_url'];
  await router.createTeam({ team_id: 'acme', models: ['all-proxy-models'] });
  await router.addSharedModel({ model_name: 'shared', litellm_params });
  await router.addSharedModel({
    model_name: 'allowing',
    litellm_params: { ...litellm_params, allow_fields },
  });
  await router.addModel('acme', { model_name: 'own', litellm_params });
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
  };
  const response = await router.fetchFor('acme')(`${teamBaseUrl}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: body[path] ?? '',
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
];
const written = [
  ...readsTheAccount.map((value) => JSON.stringify(value)),
  '"\\u0067s://operator/x.png"',
  '"gs:\\/\\/operator\\/x.png"',
  '"https:\\/\\/generativelanguage.googleapis\\u002ecom/v1beta/files/abc"',
  '"\\u00"',
];

describe.each(places)('%s with %s on a shared deployment', (path, part, field) => {
  it('is refused by name if the URL may be read with the account of the operator', async () => {
    const outcomes = new Map<string, string>();
    for (const value of written) {
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
];

it.each(places.filter(([, part]) => !part.includes('[VALUE]')))(
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

it('serves any URL by a deployment of the team, and what the operator allowed', async () => {
  for (const [path, part] of places) {
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

import { generateEncryptionKey, type ModelBody, memoryStorage, TeamModelRouter } from 'team-model-router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

let provider: RecordingProvider;
let router: TeamModelRouter;
let inRange: TeamModelRouter;
let reply: { status: number; type?: string; body: string | Buffer };

beforeAll(async () => {
  provider = await recordingProvider((_, response) => {
    response.writeHead(reply.status, { 'content-type': reply.type ?? 'application/json' }).end(reply.body);
  });
  const made = (allow: string[]) =>
    new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow },
    });
  router = made([provider.url]);
  inRange = made(['http://127.0.0.0/8']);
});

afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await inRange.close();
  await provider.close();
});

const secret = 'sk-0123456789abcdefcb07';
const model = (mode?: string): ModelBody => ({
  model_name: 'm',
  litellm_params: { model: 'openai/m', api_key: secret, api_base: provider.url },
  ...(mode !== undefined && { model_info: { mode: mode as 'chat' } }),
});
const error = (message: string, more: object = {}) => JSON.stringify({ error: { message, ...more } });

const baseResp = (status_code: number, status_msg: string) =>
  JSON.stringify({ id: 'x', choices: null, base_resp: { status_code, status_msg } });

/** An answer of each mode. */
const answers: Readonly<Record<string, string | Buffer>> = {
  chat: '{"choices":[{"message":{"content":"pong"}}]}',
  completion: '{"choices":[{"text":""}]}',
  embedding: JSON.stringify({
    object: 'list',
    data: [{ embedding: Array(4_096).fill(-0.012345678901234567) }],
  }),
  responses: '{"object":"response","status":"incomplete","output":[]}',
  image_generation: '{"created":1,"data":[{"b64_json":"AAAA"}]}',
  audio_speech: Buffer.from([0xff, 0xf3, 0x44, 0xc4, 0x00]),
  audio_transcription: '{"text":""}',
  moderation: '{"id":"modr-1","results":[{"flagged":false}]}',
};

describe('a test call was said to have gone well, or wrongly to have shown the key bad', () => {
  it.each<[status: string, answer: number, body: string]>([
    ['no_credit', 429, error('no', { code: 'insufficient_quota' })],
    ['no_credit', 402, ''],
    ['no_credit', 400, error('Your credit balance is too low to access the API.')],
    ['rate_limited', 429, error('Rate limit reached')],
    ['rate_limited', 429, ''],
    ['key_rejected', 400, error('API key not valid. Please pass a valid API key.')],
    [
      'key_rejected',
      400,
      '{"code":"Client specified an invalid argument","error":"Incorrect API key provided: x"}',
    ],
    ['key_rejected', 401, '<html><title>401 Authorization Required</title></html>'],
    ['key_rejected', 403, '{"status":403,"title":"Forbidden","detail":"Authorization failed"}'],
    [
      'deployment_not_found',
      400,
      '{"object":"error","message":"Invalid model: x","type":"invalid_model","code":"1500"}',
    ],
    ['deployment_not_found', 400, error('x is not a valid model ID', { code: 400 })],
    ['deployment_not_found', 404, ''],
    ['deployment_not_found', 405, '{"detail":"Method Not Allowed"}'],
    ['deployment_not_found', 200, '{"error":"Unexpected endpoint or method. (POST /chat/completions)"}'],
    ['api_version_rejected', 400, error('API version not supported', { code: 'BadRequest' })],
    ['unknown', 422, '{"detail":[{"msg":"field required"}]}'],
    ['unknown', 400, ''],
    ['unknown', 418, 'teapot'],
    ['unknown', 403, error('You are not allowed to sample from this model')],
    [
      'unknown',
      404,
      error('This is not a chat model and thus not supported in the v1/chat/completions endpoint.'),
    ],
    ['unknown', 403, error('Country, region, or territory not supported')],
    ['unknown', 200, error('no', { type: 'invalid_request_error' })],
    ['unknown', 200, '{"hello":"world"}'],
    ['unknown', 200, 'not JSON'],
    ['unknown', 200, ''],
    ['unreachable', 200, '<!doctype html><html></html>'],
    ['unreachable', 403, '<!doctype html><title>Attention Required! | Cloudflare</title>'],
    ['unreachable', 500, error('no')],
    ['unreachable', 503, 'no healthy upstream'],
    ['unreachable', 307, ''],
    ['timed_out', 504, ''],
    ['ok', 200, '{"id":"chatcmpl-1","choices":[]}'],
    [
      'ok',
      200,
      '{"choices":[{"message":{"role":"assistant","content":null}}],"base_resp":{"status_code":0}}',
    ],
    ['ok', 200, '\ufeff{"choices":[{"message":{}}],"error":null}'],
    ['no_credit', 200, baseResp(1008, 'insufficient balance')],
    ['key_rejected', 200, baseResp(1004, 'login fail: Please carry the API secret key')],
    ['rate_limited', 200, baseResp(1002, 'rate limit')],
    ['unknown', 200, baseResp(1000, 'unknown error')],
    [
      'key_rejected',
      200,
      '{"id":"as-1","error_code":110,"error_msg":"Access token invalid or no longer valid"}',
    ],
    ['rate_limited', 200, '{"error_code":18,"error_msg":"Open api qps request limit reached"}'],
    ['deployment_not_found', 200, '{"code":20012,"message":"Model does not exist.","data":null}'],
    ['no_credit', 200, '{"code":30001,"message":"Sorry, your account balance is insufficient","data":null}'],
    ['key_rejected', 200, '{"code":401,"message":"Invalid token","data":null}'],
    ['unknown', 200, '{"code":1,"message":"no","data":null}'],
    ['unknown', 200, '{"code":20015,"message":"The parameter is invalid.","data":null}'],
    ['key_rejected', 200, '{"message":"Unauthorized"}'],
    ['key_rejected', 200, '{"detail":"Not authenticated"}'],
    ['key_rejected', 200, '"Unauthorized"'],
    ['key_rejected', 200, 'Unauthorized'],
    ['rate_limited', 200, 'Too many requests'],
    ['unknown', 200, '{"id":"x","object":"chat.completion","choices":null}'],
    ['unknown', 200, '{"id":"x"}'],
    ['unknown', 200, '{"choices":[{}]}'],
    ['unknown', 200, '{"choices":[{"text":"pong"}]}'],
    ['unknown', 200, '{"choices":"pong"}'],
    ['unknown', 200, '{"object":"list","data":[{"id":"m","object":"model","description":"rate limited"}]}'],
    ['unknown', 200, '{"object":"list","data":[{"embedding":[0.1]}]}'],
    ['unknown', 200, '[]'],
    ['unknown', 200, 'null'],
    ['unknown', 200, '{"choices":[{"message":'],
    ['unknown', 202, '{"id":"x","status":"queued"}'],
    ['unknown', 202, '{"id":"x","choices":[]}'],
    ['unknown', 204, ''],
    ['ok', 400, error("Unsupported parameter: 'max_tokens'", { code: 'unsupported_parameter' })],
  ])('%s: %i %s', async (status, answer, body) => {
    reply = { status: answer, body };
    const result = await router.testModel('acme', model());
    expect(result.status).toBe(status);
    expect(result.message).toMatch(/^[A-Z].{10,}\.$/);
  });

  it('a web page under a 200 with its own content type', async () => {
    reply = { status: 200, type: 'text/html', body: 'Welcome' };
    expect((await router.testModel('acme', model())).status).toBe('unreachable');
  });

  it.each(Object.keys(answers))('of the mode %s alike', async (mode) => {
    const status = async () => (await router.testModel('acme', model(mode))).status;
    reply = { status: 429, body: error('no', { code: 'insufficient_quota' }) };
    expect(await status()).toBe('no_credit');
    reply = { status: 400, body: error('Incorrect API key provided') };
    expect(await status()).toBe('key_rejected');
    const type = mode === 'audio_speech' ? 'audio/mpeg' : 'application/json';
    for (const [text, expected] of [
      ['Unauthorized', 'key_rejected'],
      ['{"message":"Unauthorized"}', 'key_rejected'],
      [baseResp(1008, 'insufficient balance'), 'no_credit'],
      ['', 'unknown'],
      ['hello', 'unknown'],
      ['{"id":"x"}', 'unknown'],
      ['{"object":"list","data":[{"id":"m","object":"model"}]}', 'unknown'],
      ['{"id":"x","status":"queued","output":[]}', 'unknown'],
    ])
      for (const label of [type, 'text/plain', 'application/octet-stream']) {
        reply = { status: 200, type: label, body: text ?? '' };
        expect([text, label, await status()]).toEqual([text, label, expected]);
      }
    for (const [other, body] of Object.entries(answers)) {
      reply = { status: 200, type: other === 'audio_speech' ? 'audio/mpeg' : 'application/json', body };
      expect([other, await status()]).toEqual([other, other === mode ? 'ok' : 'unknown']);
    }
  });

  it('speech without a type is audio, unless it is text', async () => {
    const status = async () => (await router.testModel('acme', model('audio_speech'))).status;
    reply = { status: 200, type: 'application/octet-stream', body: answers.audio_speech ?? '' };
    expect(await status()).toBe('ok');
    reply = { status: 200, type: 'text/plain', body: answers.audio_speech ?? '' };
    expect(await status()).toBe('unknown');
  });
});

describe("the provider's words", () => {
  it('are quoted, redacted and bounded, of a JSON error of a host that the operator named', async () => {
    reply = { status: 401, body: error(`Incorrect API key provided: ${secret}.\u0007 Find your key.`) };
    const { provider_message } = await router.testModel('acme', model());
    expect(provider_message).toBe('Incorrect API key provided: sk-...cb07. Find your key.');
    reply = { status: 400, body: error('x'.repeat(600)) };
    expect((await router.testModel('acme', model())).provider_message).toHaveLength(512);
    reply = { status: 400, body: error(secret.repeat(200)) };
    expect(await router.testModel('acme', model())).not.toHaveProperty('provider_message');
  });

  it.each([
    ['text', 'text/plain', 'secret words'],
    ['a page', 'text/html', '<html><title>secret words</title></html>'],
    ['JSON that is no error', 'application/json', '{"secret":"words"}'],
  ])('are not quoted from %s', async (_, type, body) => {
    reply = { status: 400, type, body };
    expect(await router.testModel('acme', model())).not.toHaveProperty('provider_message');
  });

  it('are not quoted from an address that is allowed as one of a range', async () => {
    reply = { status: 401, body: error('secret words') };
    const result = await inRange.testModel('acme', model());
    expect(result.status).toBe('key_rejected');
    expect(result).not.toHaveProperty('provider_message');
  });
});

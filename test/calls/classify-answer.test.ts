import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { classifyAnswer } from '../../src/calls/upstream/classify-answer.ts';

interface RecordedAnswer {
  id: string;
  status: number;
  content_type: string | null;
  headers: Record<string, string> | null;
  body: string;
  expected: string;
  retry_elsewhere: boolean;
}

const read = (name: string) =>
  JSON.parse(readFileSync(fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url)), 'utf8'));
const recorded = read('provider-answers.json') as RecordedAnswer[];
/** From the documentation of providers and from public reports: see the `source` of each. */
const documented = read('documented-answers.json') as (Omit<RecordedAnswer, 'body'> & { body: unknown })[];

const classify = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  classifyAnswer({
    status,
    headers,
    body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  });

describe('a recorded answer of a provider', () => {
  it.each(recorded.map((answer) => [answer.id, answer] as const))('%s', (_, answer) => {
    const { meaning, decision } = classify(answer.status, answer.body, answer.headers ?? {});
    expect(meaning).toBe(answer.expected);
    expect(decision === 'retry' || decision === 'retry-other').toBe(answer.retry_elsewhere);
  });
});

describe('a documented answer of a provider', () => {
  it.each(documented.map((answer) => [answer.id, answer] as const))('%s', (_, answer) => {
    const { meaning, decision } = classify(answer.status, answer.body);
    expect(meaning).toBe(answer.expected);
    expect(decision === 'retry' || decision === 'retry-other').toBe(answer.retry_elsewhere);
  });
});

const error = (message: string, more: object = {}) => ({ error: { message, ...more } });

describe('an answer in the form of another server', () => {
  it.each<[meaning: string, status: number, body: unknown]>([
    [
      'key_rejected',
      400,
      error('API key not valid. Please pass a valid API key.', { code: 400, status: 'INVALID_ARGUMENT' }),
    ],
    [
      'key_rejected',
      400,
      error('API key expired. Please renew the API key.', { status: 'INVALID_ARGUMENT' }),
    ],
    ['key_rejected', 403, error('Your API key was reported as leaked. Please use another API key.')],
    ['key_rejected', 401, error('invalid x-api-key', { type: 'authentication_error' })],
    ['key_rejected', 401, error('No auth credentials found', { code: 401 })],
    ['key_rejected', 401, error('User not found.', { code: 401 })],
    ['key_rejected', 401, { message: 'invalid api token' }],
    [
      'key_rejected',
      200,
      { base_resp: { status_code: 1004, status_msg: 'login fail: Please carry the key' } },
    ],
    ['key_rejected', 200, { base_resp: { status_code: 2049, status_msg: 'invalid api key' } }],
    [
      'key_rejected',
      200,
      { id: 'as-1', error_code: 110, error_msg: 'Access token invalid or no longer valid' },
    ],
    ['key_rejected', 200, { error_code: 14, error_msg: 'IAM Certification failed' }],
    ['key_lacks_permission', 200, { error_code: 6, error_msg: 'No permission to access data' }],
    [
      'quota_exhausted',
      200,
      { id: 'x', choices: null, base_resp: { status_code: 1008, status_msg: 'insufficient balance' } },
    ],
    [
      'quota_exhausted',
      200,
      { code: 30001, message: 'Sorry, your account balance is insufficient', data: null },
    ],
    ['rate_limited', 200, { error_code: 17, error_msg: 'Open api daily request limit reached' }],
    ['rate_limited', 200, { error_code: 18, error_msg: 'Open api qps request limit reached' }],
    ['rate_limited', 200, { base_resp: { status_code: 1039, status_msg: 'token limit' } }],
    [
      'overloaded',
      200,
      { code: 50603, message: 'System is really busy. Please try again later.', data: null },
    ],
    [
      'model_not_found',
      200,
      { code: 20012, message: 'Model does not exist. Please check it carefully.', data: null },
    ],
    [
      'model_not_found',
      200,
      { base_resp: { status_code: 2013, status_msg: 'invalid params, unknown model' } },
    ],
    ['content_refused', 200, { base_resp: { status_code: 1026, status_msg: 'input new_sensitive' } }],
    ['context_too_long', 200, { error_code: 336103, error_msg: 'Prompt tokens too long' }],
    ['bad_request', 200, { base_resp: { status_code: 2013, status_msg: 'invalid params' } }],
    [
      'bad_request',
      200,
      { code: 20015, message: 'The parameter is invalid. Please check again.', data: null },
    ],
    ['unknown', 200, { base_resp: { status_code: 1000, status_msg: 'unknown error' } }],
    ['success', 200, { choices: [{}], base_resp: { status_code: 1027, status_msg: 'output new_sensitive' } }],
    ['key_rejected', 401, error('Wrong API Key', { code: 'wrong_api_key' })],
    ['key_rejected', 400, { error: 'Authorization header is correct, but the token seems invalid' }],
    ['key_rejected', 401, { code: 'InvalidApiKey', message: 'Invalid API-key provided.' }],
    ['key_rejected', 401, error('Invalid Authentication', { type: 'invalid_authentication_error' })],
    ['key_rejected', 401, error("You didn't provide an API key.", { type: 'invalid_request_error' })],
    ['key_rejected', 403, { message: 'The security token included in the request is invalid.' }],
    ['key_rejected', 401, { message: 'Bad credentials' }],
    ['key_rejected', 401, { message: 'No API key found in request' }],
    [
      'key_rejected',
      403,
      error('Key based authentication is disabled for this resource.', {
        code: 'AuthenticationTypeDisabled',
      }),
    ],
    [
      'key_rejected',
      400,
      error('Organization has been restricted. Please reach out.', { code: 'organization_restricted' }),
    ],
    ['key_rejected', 401, ''],
    [
      'key_lacks_permission',
      401,
      error('You have insufficient permissions for this operation. Missing scopes: model.request'),
    ],
    [
      'key_lacks_permission',
      401,
      error('key not allowed to access model. This key can only access models=[x]', {
        type: 'key_model_access_denied',
      }),
    ],
    ['quota_exhausted', 402, error('Insufficient Balance', { type: 'unknown_error' })],
    ['quota_exhausted', 402, { title: 'Payment Required', detail: "Account 'x': Cloud credits expired" }],
    ['quota_exhausted', 412, error('Account suspended due to reaching the monthly spending limit')],
    ['quota_exhausted', 403, error('Key limit exceeded (total limit).', { code: 403 })],
    ['quota_exhausted', 403, { error: "Your newly created teams doesn't have any credits yet." }],
    [
      'quota_exhausted',
      400,
      { code: 'Arrearage', message: 'Access denied, please make sure your account is in good standing.' },
    ],
    [
      'quota_exhausted',
      429,
      error('Your account is not active, please check your billing details on our website.', {
        code: 'billing_not_active',
      }),
    ],
    [
      'quota_exhausted',
      400,
      error('Billing hard limit has been reached', { code: 'billing_hard_limit_reached' }),
    ],
    ['quota_exhausted', 429, error('\u60a8\u7684\u8d26\u6237\u5df2\u6b20\u8d39', { code: '1113' })],
    ['quota_exhausted', 402, ''],
    [
      'quota_exhausted',
      402,
      { error: 'You have exceeded your monthly included credits for Inference Providers.' },
    ],
    [
      'rate_limited',
      429,
      error('Requests per minute limit exceeded - too many requests sent.', {
        code: 'request_quota_exceeded',
      }),
    ],
    [
      'rate_limited',
      413,
      error('Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 7000', {
        type: 'tokens',
        code: 'rate_limit_exceeded',
      }),
    ],
    [
      'rate_limited',
      429,
      { message: 'You are using a Trial key, which is limited to 10 API calls / minute.' },
    ],
    [
      'rate_limited',
      429,
      error('Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 requests per day'),
    ],
    [
      'rate_limited',
      429,
      error(
        'Rate limit reached for gpt-3.5-turbo. Limit: 3 / min. Please add a payment method to your account to increase your rate limit. Visit https://platform.openai.com/account/billing',
      ),
    ],
    [
      'rate_limited',
      429,
      { message: 'Too many requests, please wait before trying again.', __type: 'ThrottlingException' },
    ],
    ['rate_limited', 429, { message: 'Limit Exceeded' }],
    ['rate_limited', 429, ''],
    ['rate_limited', 429, '<html><title>429 Too Many Requests</title></html>'],
    ['overloaded', 498, error('Flex tier capacity exceeded', { code: 'capacity_exceeded' })],
    ['overloaded', 498, ''],
    ['overloaded', 503, error('The model is overloaded. Please try again later.', { status: 'UNAVAILABLE' })],
    [
      'overloaded',
      429,
      { object: 'error', message: 'Service tier capacity exceeded for this model.', code: '3505' },
    ],
    ['overloaded', 503, { error: 'Model x is currently loading', estimated_time: 20 }],
    ['overloaded', 503, 'no healthy upstream'],
    [
      'overloaded',
      503,
      'upstream connect error or disconnect/reset before headers. reset reason: connection failure',
    ],
    ['overloaded', 503, error('Loading model', { type: 'unavailable_error' })],
    ['overloaded', 502, '<html><head><title>502 Bad Gateway</title></head></html>'],
    [
      'overloaded',
      429,
      error("We're experiencing high traffic right now! Please try again soon.", { code: 'queue_exceeded' }),
    ],
    ['overloaded', 529, ''],
    [
      'model_not_found',
      400,
      { object: 'error', message: 'Invalid model: mistral-x', type: 'invalid_model', code: '1500' },
    ],
    [
      'model_not_found',
      404,
      error('models/gemini-x is not found for API version v1beta, or is not supported for generateContent.'),
    ],
    ['model_not_found', 404, error('model: claude-x', { type: 'not_found_error' })],
    ['model_not_found', 404, error('No endpoints found for x/y.', { code: 404 })],
    ['model_not_found', 404, error('model "x" not found, try pulling it first', { type: 'api_error' })],
    [
      'model_not_found',
      400,
      error('Invalid model name passed in model=x. Call `/v1/models` to view available models for your key.'),
    ],
    [
      'model_not_found',
      403,
      error('Project `proj_x` does not have access to model `gpt-x`', { code: 'model_not_found' }),
    ],
    [
      'model_not_found',
      400,
      error('The model `llama` has been decommissioned and is no longer supported.', {
        code: 'model_decommissioned',
      }),
    ],
    ['model_not_found', 404, error('No models loaded. Please load a model in the developer page.')],
    ['model_not_found', 404, { message: "model 'x' not found, make sure the correct model ID was used" }],
    ['model_not_found', 410, ''],
    ['api_version_rejected', 400, error('Missing required query parameter: api-version')],
    ['wrong_endpoint', 404, { message: 'no Route matched with those values' }],
    ['wrong_endpoint', 404, '404 page not found'],
    ['wrong_endpoint', 404, ''],
    ['wrong_endpoint', 405, ''],
    ['not_an_api', 404, '<!doctype html><html><body>Cannot POST /v1/chat/completions</body></html>'],
    ['not_an_api', 200, '<!doctype html><html><body>Welcome</body></html>'],
    [
      'wrong_operation_for_model',
      501,
      error('This server does not support embeddings. Start it with `--embeddings`', {
        type: 'not_supported_error',
      }),
    ],
    ['wrong_operation_for_model', 403, error('You are not allowed to sample from this model')],
    [
      'wrong_operation_for_model',
      404,
      error('This model is only supported in v1/responses and not in v1/chat/completions.'),
    ],
    ['wrong_operation_for_model', 400, error('The model `x` does not support chat completions')],
    [
      'region_blocked',
      403,
      error('Country, region, or territory not supported', { code: 'unsupported_country_region_territory' }),
    ],
    [
      'region_blocked',
      403,
      error('Public access is disabled. Please configure private endpoint.', { code: '403' }),
    ],
    [
      'content_refused',
      403,
      error('Input was flagged', { code: 403, metadata: { reasons: ['violence'], flagged_input: 'x' } }),
    ],
    [
      'content_refused',
      400,
      error('Invalid prompt: your prompt was flagged as potentially violating our usage policy.', {
        code: 'invalid_prompt',
      }),
    ],
    [
      'content_refused',
      400,
      error('Your request was rejected as a result of our safety system.', { code: 'moderation_blocked' }),
    ],
    [
      'content_refused',
      400,
      { code: 'DataInspectionFailed', message: 'Input data may contain inappropriate content.' },
    ],
    [
      'context_too_long',
      400,
      error('prompt is too long: 210000 tokens > 200000 maximum', { type: 'invalid_request_error' }),
    ],
    [
      'context_too_long',
      400,
      error('The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).'),
    ],
    [
      'context_too_long',
      422,
      {
        error: 'Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096',
        error_type: 'validation',
      },
    ],
    [
      'context_too_long',
      413,
      error('Request body too large for gpt-4o model. Max size: 8000 tokens.', {
        code: 'tokens_limit_reached',
      }),
    ],
    [
      'context_too_long',
      400,
      error('the request exceeds the available context size, try increasing it', {
        type: 'exceed_context_size_error',
      }),
    ],
    [
      'bad_request',
      400,
      error("Missing required parameter: 'messages'.", {
        type: 'invalid_request_error',
        code: 'missing_required_parameter',
      }),
    ],
    [
      'bad_request',
      422,
      {
        detail: [{ loc: ['body', 'messages'], msg: 'field required', input: 'invalid api key, rate limit' }],
      },
    ],
    [
      'bad_request',
      400,
      error("Unsupported value: 'temperature' does not support 0.2 with this model.", {
        code: 'unsupported_value',
        type: 'invalid_request_error',
      }),
    ],
    [
      'bad_request',
      400,
      error("Invalid type for 'max_tokens': expected an integer.", { code: 'invalid_type' }),
    ],
    [
      'bad_request',
      400,
      error('max_tokens is too large: 99999. This model supports at most 4096 completion tokens.', {
        type: 'invalid_request_error',
        param: 'max_tokens',
      }),
    ],
    ['bad_request', 200, error('messages must not be empty', { type: 'invalid_request_error' })],
    ['unknown', 400, ''],
    ['unknown', 418, 'I am a teapot'],
    ['unknown', 500, ''],
    [
      'unknown',
      500,
      error('The server had an error while processing your request. Sorry about that!', {
        type: 'server_error',
      }),
    ],
    ['unknown', 200, { error: { something: 'else' } }],
    ['success', 200, { id: 'resp_1', error: null, metadata: { reason: 'rate limit exceeded' } }],
    ['success', 200, { id: 'chatcmpl-1', choices: [{ message: { content: 'model not found' } }] }],
  ])('%s: %i %j', (meaning, status, body) => {
    expect(classify(status, body).meaning).toBe(meaning);
  });
});

describe('what is done after an answer', () => {
  it.each<[decision: string, signal: string, status: number, body: unknown]>([
    ['success', 'success', 200, { choices: [] }],
    ['retry', 'throttled', 429, error('Rate limit reached')],
    ['retry-other', 'throttled', 429, error('no', { code: 'insufficient_quota' })],
    [
      'retry-other',
      'responsive',
      429,
      error('Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 30601.'),
    ],
    ['retry-other', 'failure', 401, ''],
    ['retry-other', 'responsive', 404, ''],
    ['retry-other', 'responsive', 418, ''],
    ['retry-other', 'responsive', 400, ''],
    ['retry-other', 'responsive', 400, error('no')],
    ['fail', 'responsive', 400, error('no', { type: 'invalid_request_error' })],
    ['fail', 'responsive', 500, error('Context size has been exceeded.')],
    ['retry', 'failure', 500, ''],
    ['retry', 'failure', 408, ''],
    ['retry', 'responsive', 409, ''],
    ['retry', 'overloaded', 503, ''],
    ['retry', 'overloaded', 529, ''],
    ['retry', 'failure', 502, ''],
    ['retry', 'failure', 524, 'error code: 524'],
  ])('%s, %s: %i %j', (decision, signal, status, body) => {
    expect(classify(status, body)).toMatchObject({ decision, signal });
  });

  it.each<[decision: string, asked: string, status: number, body: unknown]>([
    ['retry', 'true', 400, error('no')],
    ['retry', 'true', 401, ''],
    ['retry', 'true', 503, ''],
    ['retry-other', 'true', 429, error('no', { code: 'insufficient_quota' })],
    ['retry-other', 'false', 429, ''],
    ['retry-other', 'false', 500, ''],
    ['fail', 'false', 400, error('no', { type: 'invalid_request_error' })],
    ['success', 'true', 200, { choices: [] }],
  ])('%s if x-should-retry is %s: %i %j', (decision, asked, status, body) => {
    expect(classify(status, body, { 'x-should-retry': asked }).decision).toBe(decision);
  });
});

describe('an answer made to be read wrongly', () => {
  it('is looked at in part alone, and never throws', () => {
    const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
    const wide = JSON.stringify({
      error: Array.from({ length: 10_000 }, () => ({ code: 'insufficient_quota' })),
    });
    const long = JSON.stringify(error('model '.repeat(5_000)));
    for (const body of [
      deep,
      wide,
      long,
      '{"error":',
      '\uFFFE',
      'data: {"error":\n\n',
      '"text"',
      'null',
      '7',
    ])
      expect(typeof classify(400, body).meaning).toBe('string');
    const hidden = `${' '.repeat(100_000)}insufficient_quota`;
    expect(classify(400, hidden).meaning).toBe('unknown');
  });

  it('takes nothing from what the caller wrote', () => {
    const input = 'You exceeded your current quota. Invalid API key. The model does not exist.';
    expect(classify(422, { detail: [{ msg: 'too short', input, ctx: { error: {} } }] }).meaning).toBe(
      'bad_request',
    );
    expect(
      classify(400, { error: { message: 'no', type: 'invalid_request_error', param: input } }).meaning,
    ).toBe('bad_request');
  });
});

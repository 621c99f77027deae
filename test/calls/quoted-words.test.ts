import fc from 'fast-check';
import type OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { describe, expect, it, onTestFinished } from 'vitest';
import { classifyAnswer } from '../../src/calls/upstream/classify-answer.ts';
import { recordingProvider, sendJson } from '../support/recording-provider.ts';
import { runs } from '../support/runs.ts';

/** What a provider may say of a key, an account, a model or itself. */
const phrases = [
  'rate limit exceeded',
  'insufficient quota',
  'insufficient_quota',
  'You exceeded your current quota',
  'API key invalid',
  'api_key is missing',
  'Incorrect API key provided: sk-1',
  'unauthorized',
  'permission denied',
  'access denied',
  'server overloaded',
  'service unavailable',
  'unknown model',
  'The model does not exist',
  'deployment not found',
  'unsupported api-version',
  'country not supported',
  'invalid url',
  'credit balance is too low',
  'your organization must be verified',
  'no such file',
  'try again in 20s',
];
const phrase = fc.constantFrom(...phrases);
const around = fc.string({ unit: fc.constantFrom(...'ab .,:;()[]{}-\n'), maxLength: 12 });
/** A text in which no quotation mark closes the quotation. */
const text = fc.tuple(around, phrase, around, phrase).map((parts) => parts.join(''));
const marks = fc.constantFrom(["'", "'"], ['"', '"'], ['`', '`'], ['\u201c', '\u201d'], ['\u2018', '\u2019']);
const quoted = fc.tuple(marks, text).map(([[open, close], inner]) => `${open}${inner}${close}`);
const status = fc.constantFrom(400, 422);

const messages: readonly ((value: string) => string)[] = [
  (value) => `Invalid value: ${value}. Supported values are: 'none', 'auto', and 'required'.`,
  (value) =>
    `Invalid schema for response_format ${value}: In context=(), 'required' is required. Missing 'token'.`,
  (value) =>
    `Invalid schema for function: In context=('properties', ${value}), 'additionalProperties' is required.`,
  (value) => `${value} is not one of ['system', 'user'] - 'messages.0.role'`,
  (value) => `Tool choice ${value} not found in 'tools' parameter, which must hold it.`,
  (value) => `Invalid 'name': string does not match pattern. Expected '^[a-z]+$'. Got ${value}`,
  (value) => `Expected a boolean, but got ${value} instead`,
];
const message = fc.constantFrom(...messages);
const reflected = fc.constantFrom<(value: string) => string>(
  (value) => `Unknown parameter: ${value}`,
  (value) => `Unrecognized request argument supplied: ${value}`,
  (value) => `Expected one of a, b, but got ${value}`,
);

const classify = (code: number, body: unknown) =>
  classifyAnswer({ status: code, headers: {}, body: Buffer.from(JSON.stringify(body)) });
const refused = { decision: 'fail', signal: 'responsive' };

describe("a refusal that repeats the caller's text", () => {
  it(`is the request's fault, whatever it quotes (${runs(2_000)} texts)`, () => {
    fc.assert(
      fc.property(status, message, quoted, (code, say, value) => {
        const error = { message: say(value), type: 'invalid_request_error', param: null, code: null };
        expect(classify(code, { error })).toMatchObject(refused);
        expect(classify(code, { object: 'error', message: say(value) })).toMatchObject(refused);
        expect(classify(code, { detail: say(value) })).toMatchObject(refused);
      }),
      { numRuns: runs(2_000) },
    );
  });

  it(`is the request's fault, whatever it repeats behind the name of a field (${runs(500)} texts)`, () => {
    fc.assert(
      fc.property(status, reflected, text, (code, say, value) => {
        fc.pre(!/^\W*(model|api)|unknown model/i.test(value));
        expect(classify(code, { error: { message: say(value) } })).toMatchObject(refused);
      }),
      { numRuns: runs(500) },
    );
  });

  it(`is the request's fault if it names a parameter or the code of one (${runs(2_000)} texts)`, () => {
    const any = fc.tuple(fc.string({ maxLength: 20 }), phrase, fc.string({ maxLength: 20 }));
    const fault = fc.constantFrom<object>(
      { param: 'tool_choice' },
      { param: 'messages[0].role', code: 'invalid_value' },
      { code: 'invalid_type' },
      { code: 'missing_required_parameter' },
      { code: 'string_above_max_length' },
      { type: 'unsupported_parameter' },
    );
    fc.assert(
      fc.property(fc.constantFrom(400, 404, 422), any, fault, (code, parts, more) => {
        const error = { message: `Not this: ${parts.join('')}`, ...more };
        expect(classify(code, { error })).toMatchObject(refused);
        const detail = [{ loc: ['body', 'messages', 0], msg: parts.join(''), type: 'value_error' }];
        fc.pre(!/no such|your organization/i.test(parts.join('')));
        expect(classify(code, { detail })).toMatchObject(refused);
      }),
      { numRuns: runs(2_000) },
    );
  });

  it('is still understood where the provider quotes the name of the model, or its own answer as a whole', () => {
    const said = (code: number, words: string) => classify(code, { error: { message: words } }).meaning;
    expect(said(404, "The model 'x' does not exist")).toBe('model_not_found');
    expect(said(400, 'model "x" not found, try pulling it first')).toBe('model_not_found');
    expect(said(400, "'API key not valid'")).toBe('key_rejected');
    expect(said(400, "{'error': 'Invalid model name passed in model=x'}")).toBe('model_not_found');
    const inner = JSON.stringify({ error: { message: 'Your credit balance is too low to access the API.' } });
    expect(said(400, `litellm.BadRequestError: AnthropicException - ${inner}`)).toBe('quota_exhausted');
    expect(said(400, `AnthropicException - b'${inner}'`)).toBe('quota_exhausted');
  });
});

const bodies: Readonly<Record<string, [status: number, body: object]>> = {
  'a value': [
    400,
    {
      error: {
        message: "Invalid value: 'rate limit exceeded'. Supported values are: 'none' and 'auto'.",
        type: 'invalid_request_error',
        param: 'tool_choice',
        code: 'invalid_value',
      },
    },
  ],
  'a schema': [
    400,
    {
      error: {
        message: "Invalid schema for 'billing': In context=('properties', 'api_key'). Missing 'token'.",
        type: 'invalid_request_error',
        param: 'response_format',
        code: null,
      },
    },
  ],
  'a tool': [
    404,
    { error: { message: "Tool choice 'insufficient_quota' not found in 'tools'.", param: 'tool_choice' } },
  ],
  // No quotation marks tell the caller's words from the provider's.
  'a bare text': [400, { error: { message: 'You said: rate limit exceeded, which is invalid' } }],
  'a bare text about keys': [422, { error: { message: 'You said: API key invalid' } }],
};

describe.each(Object.entries(bodies))('%s that a caller had repeated', (_, [code, body]) => {
  const setUp = async () => {
    const provider = await recordingProvider((request, response) => {
      if (String(request.body).includes('BAD')) sendJson(response, code, body);
      else sendJson(response, 200, { id: 'c', object: 'chat.completion', choices: [] });
    });
    const router = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow: [provider.url], allowShared: [provider.url] },
      random: () => 0,
    });
    onTestFinished(async () => {
      await router.close();
      await provider.close();
    });
    const litellm_params = { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: provider.url };
    const ask = async (team: string, content: string) => {
      const sent = router.chatCompletion(team, { model: 'm', messages: [{ role: 'user', content }] });
      return sent.then(
        () => 'answered',
        (error: InstanceType<typeof OpenAI.APIError>) => error.status,
      );
    };
    return { provider, router, litellm_params, ask };
  };

  it.each([1, 2])('takes a shared pool of %i from no other team', async (members) => {
    const { router, litellm_params, ask } = await setUp();
    for (let member = 0; member < members; member++)
      await router.addSharedModel({ model_name: 'm', litellm_params });
    for (const team_id of ['a', 'b', 'c']) await router.createTeam({ team_id, models: ['m'] });
    for (let call = 0; call < 4; call++) for (const team of ['a', 'b']) await ask(team, 'BAD');
    expect(await ask('c', 'hello')).toBe('answered');
  });

  it("leaves the team's lone deployment as it was", async () => {
    const { router, litellm_params, ask } = await setUp();
    await router.addModel('a', { model_name: 'm', litellm_params });
    for (let call = 0; call < 4; call++) expect(await ask('a', 'BAD')).toBe(code);
    expect(await ask('a', 'hello')).toBe('answered');
    expect((await router.health('a')).deployments).toMatchObject([{ state: 'closed', failures: 0 }]);
  });
});

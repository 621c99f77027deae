import fc from 'fast-check';
import {
  generateEncryptionKey,
  isRouterError,
  type ModelBody,
  type ModelPatch,
  memoryStorage,
  type Storage,
  TeamModelRouter,
} from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { everything, masterKey, send } from './support/gateway.ts';

// Letters that no message has in a row.
const key = 'sk-Zq7Xw9Vk2Jb4Yf8Gz3Hq';
const azureBase = 'https://acme.openai.azure.com';

let storage: Storage;
let router: TeamModelRouter;
let gateway: Gateway;

beforeEach(() => {
  storage = memoryStorage();
  router = new TeamModelRouter({ storage, encryptionKeys: [generateEncryptionKey()] });
  gateway = createGateway(router, { masterKey });
});
afterEach(() => router.close({ drainTimeoutMs: 0 }));

type Fields = Record<string, unknown>;
const openai = (fields: Fields): ModelBody => ({
  model_name: 'm',
  litellm_params: { model: 'openai/gpt-4o', ...fields },
});
const entra = { tenant_id: 'tenant', client_id: 'client' };
/** A body in which a credential of this kind has its place. */
const bodies: Record<string, (value: unknown) => ModelBody> = {
  api_key: (api_key) => openai({ api_key }),
  azure_ad_token: (azure_ad_token) => openai({ api_base: azureBase, azure_ad_token }),
  client_secret: (client_secret) => openai({ api_base: azureBase, ...entra, client_secret }),
};

interface Refusal {
  code: string;
  param: string | null;
  message: string;
}

async function refusalOf(promise: Promise<unknown>): Promise<Refusal> {
  const error = await promise.then(
    () => expect.unreachable('it was taken'),
    (thrown: unknown) => thrown,
  );
  if (!isRouterError(error)) throw error;
  return { code: error.code, param: error.param ?? null, message: error.message };
}

/** Every way to hand a credential over, or each of the router's own methods. */
async function refusals(given: ModelBody, all = true): Promise<Refusal[]> {
  const { model_id: id } = await router.addModel('acme', openai({ api_key: 'sk-stored-before' }));
  const { model_name: _, ...patch } = given;
  const before = await everything(storage);
  const overHttp = async (line: string, body: unknown): Promise<Refusal> => {
    const { status, json } = await send(gateway, line, { key: masterKey, body });
    expect(status).toBe(400);
    return (json as { error: Refusal }).error;
  };
  const own = [
    await refusalOf(router.addModel('acme', given)),
    await refusalOf(router.testModel('acme', given)),
    await refusalOf(router.updateModel('acme', id, patch as ModelPatch)),
  ];
  const others = async () => [
    await refusalOf(router.addSharedModel(given)),
    await refusalOf(router.testSharedModel(given)),
    await overHttp('POST /model/new', { ...given, model_info: { team_id: 'acme' } }),
    await overHttp('POST /health/test_connection', given),
    await overHttp(`PATCH /model/${id}/update`, patch),
    await overHttp('POST /model/update', { ...patch, model_info: { id } }),
  ];
  const told = [...own, ...(all ? await others() : [])];
  expect(await everything(storage)).toBe(before);
  return told;
}

/** No four letters of the key are in a message. */
function expectNoKey(message: string, secret: string): void {
  for (let at = 0; at + 4 <= secret.length; at++) {
    const part = secret.slice(at, at + 4);
    if (!/^sk-/.test(part)) expect(message).not.toContain(part);
  }
}

const pastes: [what: string, paste: (key: string) => string, says: RegExp][] = [
  ['a space before it', (k) => ` ${k}`, /spaces/],
  ['a space after it', (k) => `${k} `, /spaces/],
  ['a tab', (k) => `${k}\t`, /invisible character U\+0009/],
  ['a space within', (k) => `${k.slice(0, 9)} ${k.slice(9)}`, /without spaces/],
  ['a line break after it', (k) => `${k}\n`, /line break/],
  ['a carriage return', (k) => `${k}\r\n`, /line break/],
  ['a line break within', (k) => `${k.slice(0, 9)}\n${k.slice(9)}`, /line break/],
  ['a written line break', (k) => `${k}\\n`, /Remove the "\\n"/],
  ['U+2028', (k) => `${k}\u2028`, /line break/],
  ['quotation marks', (k) => `"${k}"`, /quotation marks/],
  ['one quotation mark', (k) => `${k}"`, /quotation marks/],
  ['single quotes', (k) => `'${k}'`, /quotation marks/],
  ['backticks', (k) => `\`${k}\``, /quotation marks/],
  ['typographic quotes', (k) => `\u201c${k}\u201d`, /quotation marks/],
  ['German quotes', (k) => `\u201e${k}\u201c`, /quotation marks/],
  ['guillemets', (k) => `\u00ab${k}\u00bb`, /quotation marks/],
  ['an entity', (k) => `&quot;${k}&quot;`, /quotation marks/],
  ['a comma after it', (k) => `${k},`, /Remove the ","/],
  ['a semicolon after it', (k) => `${k};`, /Remove the ";"/],
  ['Bearer', (k) => `Bearer ${k}`, /"Bearer"/],
  ['bearer', (k) => `bearer  ${k}`, /"Bearer"/],
  ['Basic', (k) => `Basic ${k}`, /"Bearer"/],
  ['the whole header', (k) => `Authorization: Bearer ${k}`, /name and the ":"/],
  ['the whole header for curl', (k) => `-H "Authorization: Bearer ${k}"`, /name and the ":"/],
  ['a header of Azure', (k) => `api-key: ${k}`, /name and the ":"/],
  ['the same without a space', (k) => `api-key:${k}`, /name and the ":"/],
  ['a header of Anthropic', (k) => `x-api-key: ${k}`, /name and the ":"/],
  ['a header of Google', (k) => `x-goog-api-key: ${k}`, /name and the ":"/],
  ['a variable', (k) => `OPENAI_API_KEY=${k}`, /name and the "="/],
  ['a variable with quotes', (k) => `OPENAI_API_KEY="${k}"`, /name and the "="/],
  ['a variable with spaces', (k) => `OPENAI_API_KEY = ${k}`, /name and the "="/],
  ['export', (k) => `export OPENAI_API_KEY=${k}`, /name and the "="/],
  ['export of any name', (k) => `export X=${k}`, /name and the "="/],
  ['set', (k) => `set OPENAI_API_KEY=${k}`, /name and the "="/],
  ['setx', (k) => `setx OPENAI_API_KEY ${k}`, /name and the "="/],
  ['PowerShell', (k) => `$env:OPENAI_API_KEY=${k}`, /name and the "="/],
  ['a line of YAML', (k) => `OPENAI_API_KEY: ${k}`, /name and the ":"/],
  ['an argument', (k) => `api_key="${k}",`, /name and the "="/],
  ['JSON', (k) => `{"api_key": "${k}"}`, /JSON/],
  ['JSON in lines', (k) => `{\n  "key": "${k}"\n}\n`, /JSON/],
  ['a member of JSON', (k) => `"api_key": "${k}",`, /JSON/],
  ['a list of JSON', (k) => `["${k}"]`, /JSON/],
  ['an object', (k) => `{ apiKey: '${k}' }`, /JSON/],
  ['an address', (k) => `https://api.openai.com/v1?key=${k}`, /URL/],
  ['U+200B after it', (k) => `${k}\u200b`, /invisible character U\+200B/],
  ['U+200B before it', (k) => `\u200b${k}`, /invisible character U\+200B/],
  ['U+200B within', (k) => `${k.slice(0, 9)}\u200b${k.slice(9)}`, /invisible character U\+200B/],
  ['U+FEFF', (k) => `\ufeff${k}`, /invisible character U\+FEFF/],
  ['U+00A0', (k) => `${k}\u00a0`, /invisible character U\+00A0/],
  ['U+00AD', (k) => `${k.slice(0, 9)}\u00ad${k.slice(9)}`, /invisible character U\+00AD/],
  ['U+2060', (k) => `${k}\u2060`, /invisible character U\+2060/],
  ['U+202E', (k) => `\u202e${k}`, /invisible character U\+202E/],
  ['U+FE0F', (k) => `${k}\ufe0f`, /invisible character U\+FE0F/],
  ['U+3164', (k) => `${k}\u3164`, /invisible character U\+3164/],
  ['U+E0041', (k) => `${k}\u{e0041}`, /invisible character U\+E0041/],
  ['U+0000', (k) => `${k}\u0000`, /invisible character U\+0000/],
  ['U+0007', (k) => `${k.slice(0, 9)}\u0007${k.slice(9)}`, /invisible character U\+0007/],
  ['a long dash', (k) => k.replace('-', '\u2013'), /ASCII/],
  ['a letter of another alphabet', (k) => k.replace('k', '\u043a'), /ASCII/],
  ['a full-width letter', (k) => k.replace('k', '\uff4b'), /ASCII/],
  ['half of a pair', (k) => `${k}\ud83d`, /invisible|ASCII/],
  ['two keys with a space', (k) => `${k} ${k}2`, /must be one/],
  ['two keys with a comma', (k) => `${k},${k}2`, /must be one/],
  ['two keys in two lines', (k) => `${k}\n${k}2\n`, /must be one/],
  ['two keys with a semicolon', (k) => `${k};${k}2`, /must be one/],
  ['itself again', (k) => `${k}${k}`, /must be one/],
  ['angle brackets', (k) => `<${k}>`, /around it/],
  ['square brackets', (k) => `[${k}]`, /around it/],
  ['parentheses', (k) => `(${k})`, /around it/],
  ['a closing parenthesis', (k) => `${k})`, /after it/],
  ['a full stop', (k) => `${k}.`, /after it/],
  ['an encoded line break', (k) => `${k}%0A`, /after it/],
  ['a comment', (k) => `${k} # my key`, /after it/],
  ['a comment of code', (k) => `${k} // prod`, /after it|without spaces/],
  ['an encoded Bearer', (k) => `Bearer%20${k}`, /"Bearer"/],
  ['Bearer without a space', (k) => `Bearer${k}`, /before it/],
  ['a query', (k) => `?key=${k}`, /before it|"="/],
  ['an option', (k) => `--api-key=${k}`, /before it/],
  ['an option and a space', (k) => `--api-key ${k}`, /before it/],
  ['any name and "="', (k) => `PPLX=${k}`, /before it/],
  ['an arrow', (k) => `openai -> ${k}`, /before it/],
  ['a command', (k) => `curl https://x.example -H "Authorization: Bearer ${k}"`, /from the command/],
  ['an entity of a space', (k) => `${k}&nbsp;`, /"&nbsp;"/],
  ['its middle left out', (k) => `${k.slice(0, 7)}...${k.slice(-4)}`, /masked/],
  ['its middle as an ellipsis', (k) => `${k.slice(0, 7)}\u2026${k.slice(-4)}`, /ASCII|masked/],
  ['its middle as stars', (k) => `${k.slice(0, 7)}*****${k.slice(-4)}`, /masked/],
];

describe.each(Object.entries(bodies))('%s', (field, body) => {
  it.each(pastes)('pasted with %s is refused, and not shown', async (_, paste, says) => {
    for (const { code, param, message } of await refusals(body(paste(key)), field === 'api_key')) {
      expect({ code, param }).toEqual({ code: 'invalid_request', param: `litellm_params.${field}` });
      expect(message).toMatch(says);
      expect(message).toMatch(new RegExp(`^litellm_params\\.${field}: `));
      expectNoKey(message, key);
    }
  });

  it.each([
    '<your key>',
    '<OPENAI_API_KEY>',
    'sk-...',
    'sk-xxxxxxxxxxxxxxxxxxxxxxxx',
    'XXXXXXXX',
    'your-api-key',
    'YOUR_API_KEY',
    'your_openai_api_key_here',
    'sk-your-key-here',
    'yourkey',
    'insert-key-here',
    'replace_me',
    'changeme',
    'change-me',
    'OPENAI_API_KEY',
    'AZURE_AD_TOKEN',
    '$OPENAI_API_KEY',
    '%OPENAI_API_KEY%',
    '{{OPENAI_API_KEY}}',
    '$(cat key)',
    'process.env.OPENAI_API_KEY',
    'os.environ["OPENAI_API_KEY"]',
    'undefined',
    'null',
    '[object Object]',
    'sk-',
    'TODO',
    'replace-with-your-key',
    'enter_api_key',
    'paste-your-token-here',
    'api.openai.com',
    'acme.openai.azure.com/openai/v1',
    'localhost:11434',
    'arn:aws:secretsmanager:eu-west-1:123456789012:secret:openai',
    '@Microsoft.KeyVault(SecretUri=https://acme.vault.azure.net/secrets/x)',
    'ENC[AES256_GCM,data:abc]',
    'vault:secret/data/openai#key',
    'projects/1/secrets/openai/versions/latest',
    '/run/secrets/openai',
    'PROVIDER_KEY',
    'TEAM_KEY',
    'ACME_KEY',
  ])('as the placeholder %j is refused', async (value) => {
    for (const { param } of await refusals(body(value), false)) expect(param).toBe(`litellm_params.${field}`);
  });

  it.each(['sk-...', '...', 'PROVIDER_KEY'])('as %j is refused in words for a beginner', async (value) => {
    for (const { message } of await refusals(body(value), false))
      expect(message).toMatch(
        /: must not be a placeholder\. Paste the \w+ itself, as its issuer shows it\.$/,
      );
  });

  it.each([
    'sk-proj-A1b2C3d4E5f6G7h8_I9j0-K1l2M3n4',
    'sk-ant-api03-A1b2C3d4E5f6G7h8-AA',
    'gsk_A1b2C3d4E5f6G7h8I9j0',
    'AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6q',
    'AQ.Ab8RN6A1b2C3d4',
    '0123456789abcdef0123456789abcdef',
    'hf_A1b2C3d4E5f6',
    'nvapi-A1b2C3d4',
    'fw_A1b2C3d4',
    'ABSKQmVkcm9ja0FQSUtleS0xMjM0NTY3ODkwLWF0LTEyMw==',
    '9f8e7d6c-5b4a-3f2e-1d0c-9b8a7f6e5d4c:0123456789abcdef0123456789abcdef',
    'bce-v3/ALTAK-A1b2C3/d4e5f6',
    '1|A1b2C3d4E5f6',
    'eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln-bmF0dXJl_w',
    'abc8Q~A1b2.C3d4-E5f6~G7h8_I9j0K1l2M3n4',
    ':z+]2?A1b2=C3[d4@E5f6/G7h8.',
    'EMPTY',
    'none',
    'lm-studio',
    'ollama',
    'sk-1234',
    'sk-no-key-required',
    'my-key!',
    'a passphrase & more',
    'with "quotes" within',
    'enter-the-dragon',
    'put-option-123',
    'insert-coin',
    'replacements-ltd-key',
    'my-secret-token=abc',
    'sk-local:8080',
    'abc)',
    '%20abc',
    'x',
  ])('takes %s', async (value) => {
    const { model_id } = await router.addModel('acme', body(value));
    expect((await router.getModel('acme', model_id)).litellm_params).toHaveProperty(field);
  });

  it('is refused with anything around it that no header carries, and never shown', async () => {
    const around = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 4 })
      .filter((text) => /[^!-~]/.test(text));
    await fc.assert(
      fc.asyncProperty(around, fc.constantFrom('before', 'after', 'within'), async (text, where) => {
        const at = { before: 0, after: key.length, within: 9 }[where];
        const { param, message } = await refusalOf(
          router.testModel('acme', body(key.slice(0, at) + text + key.slice(at))),
        );
        expect(param).toBe(`litellm_params.${field}`);
        expectNoKey(message, key);
      }),
    );
  });
});

describe('an id that is sent with a credential', () => {
  const fields: [field: string, more: Fields][] = [
    ['organization', {}],
    ['project', {}],
    ['client_id', { api_base: azureBase, client_secret: 'a-secret', tenant_id: 'tenant' }],
    ['tenant_id', { api_base: azureBase, client_secret: 'a-secret', client_id: 'client' }],
  ];
  it.each(fields)('%s is refused with what was pasted along', async (field, more) => {
    for (const value of [
      '"org-1"',
      ' org-1',
      'org-1\n',
      'org-1\u200b',
      '\u00f6rg',
      'API_KEY=org-1',
      '{"id":"x"}',
      '<org>',
      'a b',
    ]) {
      for (const { param } of await refusals(openai({ api_key: undefined, ...more, [field]: value })))
        expect(param).toBe(`litellm_params.${field}`);
    }
  });
});

describe('a name or an address', () => {
  it.each([
    ['model', ' gpt-4o'],
    ['model', 'openai/gpt-4o '],
    ['model', '"gpt-4o"'],
    ['model', 'gpt-4o\u200b'],
    ['model', '\ufeffgpt-4o'],
    ['api_base', ' https://example.com/v1'],
    ['api_base', '"https://example.com/v1"'],
    ['api_base', 'https://example.com/v1"'],
    ['api_base', '<https://example.com/v1>'],
    ['api_base', 'https://example.com/v1>'],
    ['api_base', 'https://example.com/v1,'],
    ['api_base', 'https://example.com/v1\u200b'],
    ['api_base', 'https://exa\u00admple.com/v1'],
    ['api_base', 'OPENAI_BASE_URL=https://example.com/v1'],
  ])('%s is refused with what was pasted along: %j', async (field, value) => {
    const params = {
      model: 'openai/gpt-4o',
      api_key: 'sk-0123456789',
      api_base: 'https://example.com/v1',
      [field]: value,
    };
    for (const { param } of await refusals({ model_name: 'm', litellm_params: params }, false))
      expect(param).toBe(`litellm_params.${field}`);
  });

  it('a master key in quotation marks, as from an env file, starts no gateway', () => {
    for (const quote of ['"', "'", '`'])
      expect(() => createGateway(router, { masterKey: `${quote}${masterKey}${quote}` })).toThrow(
        /^masterKey: .*quotation marks/,
      );
  });
});

describe('extra_headers', () => {
  const refused: [what: string, name: string, value: string, says: RegExp][] = [
    ['a line break', 'x-own', `${key}\n`, /line break/],
    ['U+200B', 'x-own', `${key}\u200b`, /invisible character U\+200B/],
    ['another alphabet', 'x-own', `${key}\u00e9`, /ASCII/],
    ['its own name', 'x-own', `x-own: ${key}`, /Remove the name/],
    ['its own name in another case', 'X-Own', `x-own:${key}`, /Remove the name/],
    ['a space', 'x-own', ` ${key}`, /spaces around/],
    ['quotation marks, as a key', 'x-own-key', `"${key}"`, /quotation marks/],
    ['a variable, as a token', 'x-own-token', `export X=${key}`, /name and the "="/],
    ['a scheme twice', 'x-authorization', `Bearer Bearer ${key}`, /"Bearer"/],
    ['a placeholder, as a key', 'x-own-key', '<your key>', /placeholder/],
    ['a mask', 'x-own', 'sk-...cb07', /masked/],
  ];
  it.each(refused)('refuses a value with %s, and does not show it', async (_, name, value, says) => {
    for (const { param, message } of await refusals(
      openai({ extra_headers: { 'x-first': 'a', [name]: value } }),
    )) {
      expect(param).toBe('litellm_params.extra_headers');
      expect(message).toMatch(says);
      expect(message).toContain('header 2 of 2');
      expectNoKey(message, key);
    }
  });

  it('does not show a key in the place of a name', async () => {
    const bare = key.slice(3);
    for (const { message } of await refusals(openai({ extra_headers: { [bare]: 'x-own\n' } })))
      expectNoKey(message, bare);
  });

  it.each([
    ['x-own', 'two words'],
    ['x-own', '"an-etag"'],
    ['cf-aig-metadata', '{"team":"acme"}'],
    ['x-own-authorization', `Bearer ${key}`],
    ['x-own-key', key],
    ['x-blank', ' '],
  ])('takes %s: %s', async (name, value) => {
    await router.addModel('acme', openai({ extra_headers: { [name]: value } }));
  });
});

import fc from 'fast-check';
import OpenAI from 'openai';
import OpenAI7 from 'openai-7';
import { describe, expect, it, test } from 'vitest';
import { sharedShape } from '../../src/calls/body/shared-fields.ts';
import { statefulReason } from '../../src/calls/body/stateless-check.ts';
import { endpoints, matchEndpoint } from '../../src/calls/endpoints/match.ts';
import { scanBody } from '../../src/calls/json/body.ts';
import { type ClientCall, clientCalls } from '../support/client-calls.ts';
import { runs } from '../support/runs.ts';

/** What the clients can call and the router does not take, by the beginning of the path, with the reason. */
const refused: readonly (readonly [prefix: string, reason: string])[] = [
  ['/organization/', 'administers the account, with an admin key, which no team has here'],
  ['/projects/', 'administers the account, with an admin key, which no team has here'],
  ['DELETE /models/{}', 'deletes a fine-tuned model of the account; here a name is deleted with deleteModel'],
];

const routeOf = ({ method, path }: { method: string; path: string }) =>
  `${method} ${path.replace(/\{\w*\}|a-placeholder/g, '{}')}`;
const reasonFor = (call: ClientCall) =>
  refused.find(([prefix]) => call.path.startsWith(prefix) || routeOf(call) === prefix)?.[1];

describe.each([
  ['openai 6', OpenAI],
  ['openai 7', OpenAI7],
])('%s', (_, client) => {
  it('has no method that is not called here', async () => {
    const { calls, silent } = await clientCalls(client);
    expect(silent).toEqual([]);
    expect(calls.map(routeOf)).toContain('POST /chat/completions');
    expect(calls.map(routeOf)).toContain('POST /vector_stores/{}/search');
    expect(calls.length).toBeGreaterThan(250);
  });

  it('has no call that is neither in the table nor refused for a reason', async () => {
    const { calls } = await clientCalls(client);
    const missing = calls.filter(({ method, path }) => {
      const match = matchEndpoint(method, path);
      return match === undefined || 'allow' in match;
    });
    expect(missing.filter((call) => reasonFor(call) === undefined)).toEqual([]);
  });

  it('sends no query parameter that the table does not pass on', async () => {
    const { calls } = await clientCalls(client);
    for (const { method, path, query } of calls) {
      const match = matchEndpoint(method, path);
      if (match === undefined || 'allow' in match) continue;
      for (const name of new URLSearchParams(query).keys())
        expect(match.endpoint.query, `${method} ${path}`).toContain(name);
    }
  });

  it('takes as bytes what the table says is content', async () => {
    const { calls } = await clientCalls(client);
    for (const { method, path, accept } of calls) {
      const match = matchEndpoint(method, path);
      if (match === undefined || 'allow' in match || !/binary|octet-stream/.test(accept ?? '')) continue;
      expect(match.endpoint.answer, `${method} ${path}`).toBe('bytes');
    }
  });
});

describe('the table', () => {
  it('has no row that no client calls, and none that is refused', async () => {
    const all = [...(await clientCalls(OpenAI)).calls, ...(await clientCalls(OpenAI7)).calls];
    const made = new Set(all.map(routeOf));
    expect(endpoints.map(routeOf).filter((route) => !made.has(route))).toEqual([]);
    expect(new Set(endpoints.map(routeOf)).size).toBe(endpoints.length);
    expect(new Set(endpoints.map(({ id }) => id)).size).toBe(endpoints.length);
    const taken = new Set(endpoints.map(routeOf));
    expect(all.filter((call) => taken.has(routeOf(call)) && reasonFor(call) !== undefined)).toEqual([]);
    for (const [prefix] of refused)
      expect(
        all.some((call) => call.path.startsWith(prefix) || routeOf(call) === prefix),
        prefix,
      ).toBe(true);
  });

  it('names each row as the clients do', async () => {
    const all = [...(await clientCalls(OpenAI)).calls, ...(await clientCalls(OpenAI7)).calls];
    const names = new Set(all.map((call) => `${call.id} ${routeOf(call)}`));
    const unnamed = endpoints.filter((row) => !names.has(`${row.id.replace(/,.*/, '')} ${routeOf(row)}`));
    expect(unnamed.map(({ id }) => id)).toEqual([]);
  });
});

const filled = (path: string) => path.replace(/\{(\w+)\}/g, 'a-$1');

test.each(endpoints.map((endpoint) => [`${endpoint.method} ${endpoint.path}`, endpoint] as const))(
  '%s matches its own row, with and without /v1',
  (_, endpoint) => {
    const names = [...endpoint.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
    const params = Object.fromEntries(names.map((name) => [name, `a-${name}`]));
    for (const path of [filled(endpoint.path), `/v1${filled(endpoint.path)}`]) {
      const match = matchEndpoint(endpoint.method, path);
      expect(match).toEqual({ endpoint, params });
    }
  },
);

test.each(endpoints.map((endpoint) => [`${endpoint.method} ${endpoint.path}`, endpoint] as const))(
  "%s in Azure's form takes the model from the path, if it carries one or is a batch",
  (_, endpoint) => {
    const match = matchEndpoint(endpoint.method, `/openai/deployments/my%20model${filled(endpoint.path)}`);
    // Azure's clients put the model of a batch into its path too.
    const carries = (!endpoint.stateful && !endpoint.local) || endpoint.id === 'batches.create';
    if (carries) expect(match).toMatchObject({ endpoint, pathModel: 'my model' });
    else expect(match === undefined || 'allow' in match).toBe(true);
  },
);

const climbing = ['..', '.', '%2e%2e', '%2E%2e', '.%2e', '%2e.', '%2e', '', '%', '%zz', '%c3%28'];

test('no segment climbs out of its path, however it is written', () => {
  const withParams = endpoints.filter(({ path }) => path.includes('{'));
  for (const endpoint of withParams) {
    for (const segment of climbing) {
      const path = endpoint.path.replace(/\{\w+\}/, () => segment).replace(/\{(\w+)\}/g, 'a');
      const match = matchEndpoint(endpoint.method, path);
      expect(match === undefined || 'allow' in match, `${endpoint.method} ${path}`).toBe(true);
    }
  }
  for (const segment of climbing) {
    expect(matchEndpoint('POST', `/openai/deployments/${segment}/chat/completions`), segment).toBeUndefined();
  }
});

test('whatever the path, what is bound to a parameter is one segment that does not climb', () => {
  const segment = fc.oneof(
    fc.constantFrom(
      ...climbing,
      'files',
      'responses',
      'batches',
      'v1',
      'openai',
      'deployments',
      'chat',
      'completions',
      'models',
      '%2f..%2f',
      'a%2fb',
    ),
    fc.string({ maxLength: 4 }),
  );
  fc.assert(
    fc.property(
      fc.constantFrom('GET', 'POST', 'DELETE'),
      fc.array(segment, { maxLength: 7 }),
      (method, segments) => {
        const match = matchEndpoint(method, `/${segments.join('/')}`);
        if (match === undefined || 'allow' in match) return;
        const values = [
          ...Object.values(match.params),
          ...(match.pathModel === undefined ? [] : [match.pathModel]),
        ];
        for (const value of values) expect(['', '.', '..']).not.toContain(value);
        const spelled = match.endpoint.path.slice(1).split('/').length;
        expect(segments.join('/').split('/').length).toBeGreaterThanOrEqual(spelled);
      },
    ),
    { numRuns: runs(5_000) },
  );
});

test.each([
  ['GET', '/v1/chat'],
  ['POST', '/chat/completions/'],
  ['POST', '//chat/completions'],
  ['POST', '/v1/v1/chat/completions'],
  ['POST', '/chat/completions/{completion_id}/x'],
  ['GET', '/'],
  ['GET', ''],
])('there is no %s %s', (method, path) => {
  expect(matchEndpoint(method, path)).toBeUndefined();
});

test('an Azure deployment may be called as a part of a path is', () => {
  expect(matchEndpoint('POST', '/openai/deployments/chat/completions')).toMatchObject({
    endpoint: { id: 'completions.create' },
    pathModel: 'chat',
  });
});

test('another method of a path that exists is told which it takes', () => {
  expect(matchEndpoint('PUT', '/v1/embeddings')).toEqual({ allow: ['POST'] });
  expect(matchEndpoint('DELETE', '/v1/files')).toEqual({ allow: expect.arrayContaining(['GET', 'POST']) });
});

test('whatever keeps something in the account is marked as such', () => {
  const stateless = endpoints.filter(({ stateful, local }) => !stateful && !local).map(({ id }) => id);
  expect(stateless.sort()).toEqual([
    'audio.speech.create',
    'audio.transcriptions.create',
    'audio.translations.create',
    'chat.completions.create',
    'completions.create',
    'embeddings.create',
    'images.createVariation',
    'images.edit',
    'images.generate',
    'moderations.create',
    'responses.compact',
    'responses.create',
    'responses.inputTokens.count',
  ]);
});

/** Why a response that is not to be stored may not go to a shared deployment, with the rest of its body. */
function reasonAgainst(body: string): string | undefined {
  const text = `{"store":false,${body.slice(1)}`;
  const match = matchEndpoint('POST', '/v1/responses');
  if (match === undefined || 'allow' in match) expect.unreachable('there is such an endpoint');
  const bytes = Buffer.from(text);
  const scan = scanBody(bytes, sharedShape(match.endpoint.id));
  return statefulReason(match.endpoint, { bytes, scan })?.message;
}

test.each([
  '{"input":[{"type":"input_file","file_id":"file-1"}]}',
  '{"input":[{"type":"input_file","file_id":"file-1","file_id":null}]}',
  '{"input":[{"file_id":null,"file_id":"file-1"}]}',
  '{"input":[{"f\\u0069le_id":"file-1"}]}',
  '{"a":{"\\\\":0},"input":[{"\\u0066ile_id":"file-1"}]}',
  '{"input":[{"type":"item_reference","id":"1"}]}',
  '{"input":[{"t\\u0079pe":"item\\u005freference","type":"text"}]}',
  '{"tools":[{"type":"file_search","vector_store_ids" : ["1"]}]}',
  '{"tools":[{"type":"code_interpreter","container":"1"}]}',
])('a body that points into an account is seen: %s', (body) => {
  // Read before: V8 may take an escaped key for one that begins with a backslash.
  JSON.parse('{"\\\\":0}');
  expect(reasonAgainst(body)).toContain('is not known to be stateless');
});

test.each([
  '{"input":"file_id"}',
  '{"input":[{"content":"\\"file_id\\": \\"x\\""}]}',
  '{"input":[{"content":[{"file_id":null,"type":"input_text"}]}]}',
])('a body that only speaks of one passes: %s', (body) => {
  expect(reasonAgainst(body)).toBeUndefined();
});

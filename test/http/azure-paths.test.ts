import { once } from 'node:events';
import { request } from 'node:http';
import fc from 'fast-check';
import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { endpoints } from '../../src/calls/endpoints/match.ts';
import { unknownCall } from '../../src/calls/endpoints/unknown.ts';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';
import { runs } from '../support/runs.ts';

const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';
const prefixes = ['', '/v1', '/openai', '/openai/v1'];

let provider: RecordingProvider;
let router: TeamModelRouter;
let servers: { server: GatewayServer; mount: string }[];
let key: string;

beforeAll(async () => {
  provider = await recordingProvider((_, response) => sendJson(response, 200, { id: 'obj_1', data: [] }));
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  await router.addModel('acme', {
    model_name: 'org/name',
    litellm_params: { model: 'theirs', num_retries: 0, api_key: 'sk-x', api_base: `${provider.url}/v1` },
  });
  key = (await router.createKey('acme')).key;
  servers = [];
  for (const mount of ['', '/llm/api']) {
    const gateway = createGateway(router, { masterKey, ...(mount === '' ? {} : { basePath: mount }) });
    servers.push({ server: await serveGateway(gateway, { port: 0 }), mount });
  }
});
afterAll(async () => {
  for (const { server } of servers) await server.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});
afterEach(() => {
  provider.requests.length = 0;
});

/** Sends a path as it is written; a URL parser would change some of them before they are sent. */
async function send(method: string, path: string, { server, mount } = servers[0] as (typeof servers)[0]) {
  const { port, hostname } = server;
  const body = method === 'POST' ? '{"messages":[]}' : '';
  const headers = {
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
    'content-length': body.length,
  };
  const sent = request({ port, hostname, method, path: mount + path, headers });
  sent.end(body);
  const [response] = await once(sent, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const answer = text === '' ? {} : (JSON.parse(text) as { id?: string; error?: { code: string } });
  return { status: response.statusCode as number, allow: response.headers.allow as string, answer };
}

const inProcess = async (method: string, path: string) => {
  const init =
    method === 'POST' ? { body: '{"messages":[]}', headers: { 'content-type': 'application/json' } } : {};
  const answer = await router.fetchFor('acme')(new URL(path, teamBaseUrl), { method, ...init });
  return { status: answer.status, answer: (await answer.json()) as { id?: string } };
};

describe('a model whose name has a slash', () => {
  it.each(['org/name', 'org%2Fname', 'org%2fname', '%6Frg/name'])(
    'is called in a path as %s',
    async (name) => {
      for (const prefix of prefixes) {
        const path = `${prefix}/deployments/${name}/chat/completions?api-version=2024-10-21`;
        for (const server of servers) expect((await send('POST', path, server)).status).toBe(200);
        expect((await inProcess('POST', path)).status).toBe(200);
      }
      expect(new Set(provider.requests.map(({ url }) => url))).toEqual(new Set(['/v1/chat/completions']));
      expect(provider.requests.every(({ body }) => body.includes('"model":"theirs"'))).toBe(true);
      expect(provider.requests).toHaveLength(12);
    },
  );

  it.each(['org/name', 'org%2Fname'])('is found, and not deleted, as %s', async (name) => {
    for (const prefix of prefixes) {
      const path = `${prefix}/models/${name}?api-version=2024-10-21`;
      for (const server of servers) {
        expect(await send('GET', path, server)).toMatchObject({ status: 200, answer: { id: 'org/name' } });
        expect((await send('HEAD', path, server)).status).toBe(200);
        expect(await send('DELETE', path, server)).toMatchObject({
          status: 400,
          answer: {
            error: { param: 'model', message: expect.stringContaining('cannot be deleted by this call') },
          },
        });
        expect(await send('POST', path, server)).toMatchObject({ status: 405, allow: 'GET, HEAD' });
      }
      expect(await inProcess('GET', path)).toMatchObject({ status: 200, answer: { id: 'org/name' } });
      expect((await inProcess('DELETE', path)).status).toBe(400);
    }
  });

  it('is one name, and not its first part', async () => {
    for (const path of ['/models/org', '/models/org/other', '/models/org/name/more', '/models/name'])
      expect(await send('GET', path)).toMatchObject({
        status: 404,
        answer: { error: { code: 'model_not_found' } },
      });
  });
});

/** What must answer as if there were nothing, behind every prefix. */
const nowhere = [
  '/organization/users',
  '/organization/admin_api_keys',
  '/projects/p/api_keys',
  '/deployments',
  '/deployments/',
  '/deployments/org/name',
  '/deployments/org/name/files',
  '/deployments/org/name/organization/users',
  '/deployments/org/name/responses/resp_1',
  '/deployments//chat/completions',
  '/deployments/org//name/chat/completions',
  '/deployments/org%2Fname%2Fchat%2Fcompletions',
  '/deployments/./chat/completions/x',
  '/models//',
  '/models/org//name',
  '/files/%2e%2e',
  '/files/..%2F..%2Forganization%2Fusers/x/y',
  '//files',
  '/v1/v1/files',
];

/** The gateway's own, which stands under no prefix of a call. */
const management = [
  '/team/info',
  '/team/list',
  '/model/new',
  '/key/generate',
  '/key/info',
  '/model_group/info',
];

const methods = ['GET', 'POST', 'DELETE', 'PATCH', 'PUT'];

describe('a prefix of Azure', () => {
  it.each(nowhere)('reaches nothing with %s', async (path) => {
    for (const prefix of ['/openai', '/openai/v1']) {
      for (const method of methods) {
        const { status } = await send(method, prefix + path);
        expect([400, 404], `${method} ${prefix}${path}`).toContain(status);
      }
    }
    expect(provider.requests).toEqual([]);
  });

  it.each(management)('does not lead to %s', async (path) => {
    for (const prefix of ['/openai', '/openai/v1', '/openai/deployments/org/name']) {
      for (const method of methods)
        expect(await send(method, prefix + path)).toMatchObject({
          status: 404,
          answer: { error: { code: 'not_found' } },
        });
    }
  });

  it.each([
    '/openai/openai/files',
    '/v1/openai/files',
    '/openai/v1/openai/files',
    '/OPENAI/files',
    '/openai/V1/files',
    '/%6fpenai/files',
    '/openai/%64eployments/org/name/chat/completions',
    '/openai%2Ffiles',
    '/openai%2f..%2fteam%2finfo',
    '/openai;/files',
  ])('is taken in one spelling only: %s', async (path) => {
    for (const method of methods) expect((await send(method, path)).status, method).toBe(404);
    expect(provider.requests).toEqual([]);
  });

  it('names no model by a path that climbs, encoded once or twice, or with backslashes', async () => {
    for (const name of [
      'org/%2e%2e/name',
      'org/..%2fname',
      'org%2F..%2Fname',
      'org%5C..%5Cname',
      'org%5Cname',
      'org%252Fname',
      'org%25252Fname',
      'org/%252e%252e/name',
      'org%00/name',
      'org/name%00',
      '%',
      'org/%zz',
    ]) {
      expect([400, 404], name).toContain(
        (await send('POST', `/openai/deployments/${name}/chat/completions`)).status,
      );
      expect([400, 404], name).toContain((await send('GET', `/openai/models/${name}`)).status);
    }
    expect(provider.requests).toEqual([]);
  });

  it('means by a dot segment what the URL standard has it mean, and nothing more', async () => {
    for (const up of ['..', '%2e%2e', '.%2E']) {
      expect((await send('POST', `/openai/deployments/${up}/chat/completions`)).status).toBe(200);
      expect((await send('GET', `/openai/deployments/${up}/organization/users`)).status).toBe(404);
      expect((await send('GET', `/openai/files/${up}/${up}/organization/users`)).status).toBe(404);
      expect((await send('GET', `/openai/files/x${up}`)).status).toBe(200);
    }
    const urls = provider.requests.map(({ url }) => url);
    expect(new Set(urls.filter((url) => !url.startsWith('/v1/files/x')))).toEqual(
      new Set(['/v1/chat/completions']),
    );
  });

  it('sends to the provider only what a call of the table sends, whatever the path', async () => {
    // One segment, which is no dot segment, and in which nothing but a plus sign and a semicolon had to be encoded.
    const value = '(?!\\.)([\\w.-]|%2B|%3B)+';
    const shapes = endpoints.map(
      ({ method, path }) => new RegExp(`^${method} /v1${path.replace(/\{\w+\}/g, value)}$`),
    );
    const segment = fc.constantFrom(
      ...[
        'openai',
        'v1',
        'deployments',
        'org',
        'name',
        'org%2Fname',
        'models',
        'files',
        'responses',
        'batches',
      ],
      ...[
        'chat',
        'completions',
        'file-1',
        'content',
        'organization',
        'users',
        'team',
        'info',
        'vector_stores',
      ],
      ...['..', '.', '%2e%2e', '..%2f', '%2f', '%5c', '\\', '%252e%252e', '', '%', ';', 'a+b'],
    );
    const known = fc.constantFrom('chat/completions', 'files', 'models', 'files/file-1/content', 'batches');
    const path = fc
      .tuple(
        fc.constantFrom(...prefixes, '/openai/deployments/org/name', '/openai/deployments/org%2Fname'),
        fc.array(segment, { maxLength: 4 }),
        fc.option(known),
      )
      .map(([prefix, segments, end]) =>
        [prefix, ...segments, ...(end === null ? [] : [end])].join('/').replace(/^(?!\/)/, '/'),
      );
    let reached = 0;
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('GET', 'POST', 'DELETE'), path, async (method, written) => {
        provider.requests.length = 0;
        const { status } = await send(method, written);
        expect(status, written).toBeLessThan(500);
        for (const received of provider.requests) {
          reached++;
          const line = `${received.method} ${received.url}`;
          // Below `/v1` a path that the table does not have is forwarded as it is written, in safe characters only.
          if (unknownCall(received.method, received.url) !== undefined) continue;
          expect(shapes.filter((shape) => shape.test(line)).length, `${written} -> ${line}`).toBeGreaterThan(
            0,
          );
        }
      }),
      { numRuns: runs(600) },
    );
    expect(reached).toBeGreaterThan(runs(600) / 60);
  });
});

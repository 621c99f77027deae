import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayFixture, gatewayFixture, masterKey } from '../support/gateway.ts';
import { rawConnection } from '../support/measured-gateway.ts';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

let provider: RecordingProvider;
let fixture: GatewayFixture;
let server: GatewayServer;
let key: string;
let idle: string;

beforeAll(async () => {
  provider = await recordingProvider();
  fixture = gatewayFixture({ egress: { allow: [provider.url] } });
  const { router, gateway } = fixture;
  const litellm_params = { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.addModel('acme', { model_name: 'm', litellm_params });
  key = (await router.createKey('acme')).key;
  idle = (await router.createKey('acme', { models: [] })).key;
  server = await serveGateway(gateway, { port: 0, drainTimeoutMs: 1 });
});
afterAll(async () => {
  await server.close();
  await fixture.router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

/** All that a connection answers to these bytes, until it ends. */
async function raw(text: string): Promise<string> {
  const connection = rawConnection(server.port);
  connection.socket.write(text);
  await connection.closed;
  return connection.text();
}

const inShape =
  /^HTTP\/1\.1 (\d+) [\s\S]*\r\nx-request-id: ([0-9a-f-]{36})\r\n[\s\S]*\{"error":\{"message":"[^"]+","type":"invalid_request_error","param":(?:null|"\w+"),"code":"\w+"\}\}$/i;

describe('what Node refuses by itself is answered in the one error shape', () => {
  it.each([
    ['a request line that is none', 'nonsense\r\n\r\n', '400'],
    ['a header that is none', 'GET / HTTP/1.1\r\nhost: h\r\nno header\r\n\r\n', '400'],
    ['two lengths', 'POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n', '400'],
    ['HTTP/1.1 without a host', 'GET /health/liveness HTTP/1.1\r\n\r\n', '400'],
    ['headers that are too large', `GET / HTTP/1.1\r\nhost: h\r\nx: ${'x'.repeat(70_000)}\r\n\r\n`, '431'],
    ['an expectation', 'GET / HTTP/1.1\r\nhost: h\r\nexpect: more\r\nconnection: close\r\n\r\n', '417'],
  ])('%s', async (_, text, status) => {
    expect(await raw(text)).toMatch(inShape);
    expect(inShape.exec(await raw(text))?.[1]).toBe(status);
  });
});

describe('plain health checks', () => {
  it.each([
    'GET /health/liveness HTTP/1.0\r\n\r\n',
    'GET /health/liveness HTTP/1.0\r\nhost:\r\n\r\n',
    'GET /health/liveness HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n',
    'HEAD /health/readiness HTTP/1.0\r\n\r\n',
  ])('%j is answered 200', async (text) => {
    expect(await raw(text)).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('a call over HTTP/1.0 without a host is one', async () => {
    const body = '{"model":"m","messages":[]}';
    const head = `POST /v1/chat/completions HTTP/1.0\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\n`;
    expect(await raw(`${head}content-length: ${body.length}\r\n\r\n${body}`)).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe('every answer has x-request-id', () => {
  const post = { method: 'POST', body: '{"model":"m","messages":[]}' };
  it.each<[string, RequestInit & { headers?: Record<string, string> }, number]>([
    ['/health/liveness', {}, 200],
    ['/nothing', {}, 404],
    ['/v1/models', {}, 401],
    ['/v1/models', { headers: { key: 'team' } }, 200],
    ['/team/info', { headers: { key: 'team' } }, 200],
    ['/team/list', { headers: { key: 'team' } }, 403],
    ['/team/new', { headers: { key: 'master' }, method: 'POST', body: '{"team_id":1}' }, 400],
    ['/v1/chat/completions', { headers: { key: 'team' }, method: 'DELETE' }, 405],
    ['/v1/chat/completions', { headers: { key: 'team' }, ...post }, 200],
    ['/v1/chat/completions', { headers: { key: 'idle' }, ...post }, 404],
  ])('%s %j', async (path, { headers: given, ...init }, status) => {
    const keys: Record<string, string> = { team: key, idle, master: masterKey };
    const headers = {
      'content-type': 'application/json',
      ...(given?.key === undefined ? {} : { authorization: `Bearer ${keys[given.key]}` }),
    };
    const overSocket = await fetch(server.url + path, { ...init, headers });
    const standard = await fixture.gateway.request(path, { ...init, headers });
    for (const response of [overSocket, standard]) {
      expect(response.status).toBe(status);
      const id = response.headers.get('x-request-id');
      expect(id).toMatch(/^[\w-]{3,}$/);
      if (status !== 200) expect(response.headers.get('x-litellm-call-id')).toBe(id);
      await response.arrayBuffer();
    }
  });

  it('the provider’s own, where the provider has one', async () => {
    const body = '{"model":"m","messages":[]}';
    const inProcess = await fixture.router.fetchFor('acme')('/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect(inProcess.headers.get('x-request-id')).toBeTruthy();
  });
});

describe('a key is read from', () => {
  it.each([
    ['authorization', 'Bearer '],
    ['api-key', ''],
    ['api-key', 'Bearer '],
    ['x-api-key', ''],
    ['x-api-key', 'bearer '],
    ['x-litellm-api-key', ''],
    ['x-litellm-api-key', 'Bearer '],
  ])('%s: %s..., and goes to no provider', async (name, prefix) => {
    provider.requests.splice(0);
    const headers = { 'content-type': 'application/json', [name]: prefix + key };
    const body = '{"model":"m","messages":[]}';
    expect((await fetch(`${server.url}/v1/models`, { headers })).status).toBe(200);
    const path = `${server.url}/v1/chat/completions`;
    expect((await fetch(path, { method: 'POST', headers, body })).status).toBe(200);
    expect(provider.requests).toHaveLength(1);
    expect(JSON.stringify(provider.requests[0]?.headers)).not.toContain(key);
  });

  it('authorization before the others', async () => {
    const headers = { authorization: 'Bearer sk-nobodys', 'x-api-key': key };
    expect((await fetch(`${server.url}/v1/models`, { headers })).status).toBe(401);
  });
});

describe('a hint is true for its reader', () => {
  const ask = async (line: string, given: string, body?: string) => {
    const [method = '', path = ''] = line.split(' ');
    const headers = { authorization: `Bearer ${given}`, 'content-type': 'application/json' };
    const response = await fetch(server.url + path, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
    });
    return { status: response.status, text: await response.text(), allow: response.headers.get('allow') };
  };

  it.each(['POST /model/block', 'POST /model/list', 'GET /key/secret'])('%s: no such path', async (line) => {
    const { status, allow } = await ask(line, masterKey, line.startsWith('POST') ? '{}' : undefined);
    expect([status, allow]).toEqual([404, null]);
  });

  it('an id behind /model/ takes DELETE', async () => {
    expect(await ask('GET /model/0b0c9a4e-0000-4000-8000-000000000000', masterKey)).toMatchObject({
      status: 405,
      allow: 'DELETE',
    });
  });

  it('a key that may call nothing is not told that there is nothing, nor sent to what it may not read', async () => {
    for (const line of [
      'POST /v1/chat/completions',
      'GET /v1/models/m',
      'POST /openai/deployments/m/embeddings',
    ]) {
      const { text } = await ask(
        line,
        idle,
        line.startsWith('POST') ? '{"model":"m","input":"x","messages":[]}' : undefined,
      );
      expect(text).toContain('model_not_found');
      expect(text).toContain('may not call any model');
      expect(text).not.toMatch(/none yet|team\/info|getTeamInfo/);
    }
  });
});

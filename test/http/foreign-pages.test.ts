import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { createGateway, type Gateway, type GatewayOptions } from 'team-model-router/http';
import { expressGateway } from 'team-model-router/http/express';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayFixture, gatewayFixture, masterKey, outcome, send } from '../support/gateway.ts';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

let provider: RecordingProvider;
let house: GatewayFixture;

beforeAll(async () => {
  provider = await recordingProvider((_, response) =>
    sendJson(response, 200, { id: 'batch_1', object: 'batch' }),
  );
  house = gatewayFixture({ egress: { allow: [provider.url] } });
  const params = { model: 'm', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await house.router.addModel('acme', { model_name: 'm', litellm_params: params });
});

afterAll(async () => {
  await house.router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

/** As an application does that knows its users by a cookie. */
const bySession = (more: Partial<GatewayOptions> = {}): Gateway =>
  createGateway(house.router, {
    masterKey,
    authenticate: (request) =>
      request.headers.get('cookie') === 'session=acme' || request.headers.has('x-token')
        ? { teamId: 'acme', keyType: 'default' }
        : undefined,
    ...more,
  });

const foreign = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example', cookie: 'session=acme' };
const cancel = 'POST /v1/batches/batch_1/cancel';
const refused = '403 permission_denied';

describe('a page of another site', () => {
  it.each([
    cancel,
    'POST /v1/files',
    'GET /v1/files',
    'GET /team/info',
    'DELETE /v1/files/file-1',
    'GET /v1/models',
  ])('does not reach %s by the cookie of a session', async (line) => {
    const before = provider.requests.length;
    expect(outcome(await send(bySession(), line, { headers: foreign }))).toBe(refused);
    const { origin: _, ...navigation } = foreign;
    expect(outcome(await send(bySession(), line, { headers: navigation }))).toBe(refused);
    expect(provider.requests).toHaveLength(before);
  });

  it('cancelled a batch by a form without fields, which no content type gave away', async () => {
    const body = new URLSearchParams();
    const request = (headers: Record<string, string>) =>
      new Request('http://gateway.test/v1/batches/batch_1/cancel', { method: 'POST', headers, body });
    expect((await bySession().fetch(request(foreign))).status).toBe(403);
    expect((await bySession().fetch(request({ ...foreign, 'sec-fetch-site': 'same-origin' }))).status).toBe(
      200,
    );
  });

  it.each(['same-origin', 'same-site', 'none', ''])('is not what %j says', async (site) => {
    const headers = site === '' ? { cookie: foreign.cookie } : { ...foreign, 'sec-fetch-site': site };
    expect(outcome(await send(bySession(), cancel, { headers }))).toBe('200');
  });

  it('does not apply to requests with a key', async () => {
    const { key } = await house.router.createKey('acme');
    expect(outcome(await send(house.gateway, cancel, { key, headers: foreign }))).toBe('200');
    expect(outcome(await send(bySession(), 'GET /team/list', { key: masterKey, headers: foreign }))).toBe(
      '200',
    );
  });

  it('may call where CORS is on for it, and with cookies where it says so', async () => {
    const friend = { ...foreign, origin: 'https://app.test' };
    const { cookie: _, ...bare } = friend;
    const token = { ...bare, 'x-token': 'of acme' };
    const asked = async (cors: GatewayOptions['cors'], headers: Record<string, string>) =>
      outcome(await send(bySession({ cors }), cancel, { headers }));
    const origin = 'https://app.test';
    expect(await asked({ origin, credentials: true }, friend)).toBe('200');
    expect(await asked({ origin, credentials: true }, foreign)).toBe(refused);
    expect(await asked({ origin }, friend)).toBe(refused);
    expect(await asked({ origin }, token)).toBe('200');
    expect(await asked({ origin: '*' }, token)).toBe('200');
    expect(await asked({ origin: '*' }, foreign)).toBe(refused);
  });

  it('may call where the application before the gateway has CORS on for it', async () => {
    const app = express();
    app.use((request, response, next) => {
      if (request.headers.origin === 'https://app.test')
        response
          .setHeader('access-control-allow-origin', 'https://app.test')
          .setHeader('access-control-allow-credentials', 'true');
      next();
    });
    app.use('/llm', expressGateway(bySession()));
    const server = createServer(app);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const statusFor = async (origin: string) =>
      (
        await fetch(`http://127.0.0.1:${port}/llm/v1/batches/batch_1/cancel`, {
          method: 'POST',
          headers: { ...foreign, origin, 'x-token': 'x' },
        })
      ).status;
    expect([await statusFor('https://app.test'), await statusFor('https://evil.example')]).toEqual([
      200, 403,
    ]);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});

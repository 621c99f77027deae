import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { syncBuiltinESMExports } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import tls, { connect, type TLSSocket } from 'node:tls';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { buildConnector } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Lookup } from '../../src/egress/connector.ts';
import { compilePolicy } from '../../src/egress/guard.ts';
import { Transport } from '../../src/egress/transport.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const folder = dirname(temporaryFolder()());
const messages = [{ role: 'user' as const, content: 'hello' }];

let ca: string;
let server: Server;
let port: number;
const requests: string[] = [];

/** An authority, and a certificate of it for `llm.test`, as an operator makes them. */
function makeCertificates(): { ca: string; key: string; cert: string } {
  const at = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
    '-days',
    '2',
    '-subj',
    '/CN=Test CA',
  );
  openssl('req', ...newKey, '-keyout', at('key'), '-out', at('csr'), '-subj', '/CN=llm.test');
  writeFileSync(at('ext'), 'subjectAltName=DNS:llm.test');
  const signed = [
    '-CA',
    at('ca.pem'),
    '-CAkey',
    at('ca.key'),
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    at('ext'),
  ];
  openssl('x509', '-req', '-in', at('csr'), '-out', at('pem'), ...signed);
  const read = (name: string) => readFileSync(at(name), 'utf8');
  return { ca: read('ca.pem'), key: read('key'), cert: read('pem') };
}

beforeAll(async () => {
  const made = makeCertificates();
  ca = made.ca;
  server = createServer({ key: made.key, cert: made.cert }, (request, response) => {
    requests.push(`${request.url}`);
    request.resume();
    response.setHeader('content-type', 'application/json').end('{"object":"chat.completion","choices":[]}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});

describe('an https address without a port', () => {
  it.each(['https://llm.test', 'https://llm.test:443', 'https://LLM.test.'])(
    'connects %s to port 443 and not to the port of http',
    async (base) => {
      const dialled: string[] = [];
      // Does what undici's connector does with a missing port, and then dials the test's own server.
      const dial: typeof buildConnector = (options) => {
        const connector = buildConnector(options);
        return (given, callback) => {
          if (given.httpSocket === undefined)
            dialled.push(given.port || (given.protocol === 'https:' ? '443' : '80'));
          return connector({ ...given, port: String(port) }, callback);
        };
      };
      const lookup: Lookup = (_, __, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]);
      const transport = new Transport({ policy: compilePolicy(['llm.test']), lookup, dial, ca });
      try {
        const response = await transport.request({
          method: 'GET',
          url: `${base}/v1/models`,
          headers: {},
          headersTimeoutMs: 5_000,
          bodyTimeoutMs: 5_000,
        });
        response.body.destroy();
        expect(response.status).toBe(200);
        expect(dialled).toEqual(['443']);
      } finally {
        await transport.close();
      }
    },
  );
});

afterAll(() => {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(resolve));
});

const routers: TeamModelRouter[] = [];
afterEach(async () => {
  await Promise.all(routers.splice(0).map((router) => router.close({ drainTimeoutMs: 0 })));
  requests.length = 0;
});

function routerWith(authority?: string): TeamModelRouter {
  const router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: {
      allow: [`llm.test:${port}`, `other.test:${port}`],
      ...(authority === undefined ? {} : { ca: authority }),
      lookup: (_, __, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
    },
  });
  routers.push(router);
  return router;
}

const params = (host: string) => ({
  model: 'm',
  api_key: 'sk-0123456789abcdef',
  api_base: `https://${host}:${port}/v1`,
  num_retries: 0,
});

async function call(router: TeamModelRouter, host: string) {
  await router.addModel('acme', { model_name: 'm', litellm_params: params(host) });
  return router.chatCompletion('acme', { model: 'm', messages });
}

it('an authority is parsed once for all connections, which resume sessions', async () => {
  const authority = `${ca}\n`;
  const created = vi.spyOn(tls, 'createSecureContext');
  syncBuiltinESMExports();
  const resumed: boolean[] = [];
  const onSecure = (socket: TLSSocket) => resumed.push(socket.isSessionReused());
  server.on('secureConnection', onSecure);
  try {
    for (let count = 0; count < 2; count++) {
      const router = routerWith(authority);
      for (let calls = 0; calls < 3; calls++) {
        expect(await call(router, 'llm.test')).toMatchObject({ object: 'chat.completion' });
        server.closeAllConnections();
        await router.deleteModel('acme', (await router.listModels('acme')).data[0]?.model_info.id ?? '');
      }
    }
    expect(resumed).toHaveLength(6);
    expect(resumed).toContain(true);
    expect(created).toHaveBeenCalledTimes(1);
  } finally {
    server.off('secureConnection', onSecure);
    created.mockRestore();
    syncBuiltinESMExports();
  }
});

describe('the certificate of a provider', () => {
  it("is trusted if an authority of the operator's own signed it", async () => {
    expect(await call(routerWith(ca), 'llm.test')).toMatchObject({ object: 'chat.completion' });
    expect(requests).toEqual(['/v1/chat/completions']);
  });

  it('is not trusted without that authority', async () => {
    await expect(call(routerWith(), 'llm.test')).rejects.toMatchObject({ code: 'provider_unreachable' });
    expect(requests).toEqual([]);
  });

  it('counts for its own name alone', async () => {
    const failure = { code: 'provider_unreachable', message: expect.stringContaining('ALTNAME') };
    await expect(call(routerWith(ca), 'other.test')).rejects.toMatchObject(failure);
    expect(requests).toEqual([]);
  });

  it('is checked even if NODE_TLS_REJECT_UNAUTHORIZED disables the check', async () => {
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    try {
      // Whoever does not say otherwise is let through: the variable is at work.
      await new Promise<void>((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port, servername: 'other.test' }, () => resolve());
        socket.on('error', reject).on('secureConnect', () => socket.destroy());
      });
      await expect(call(routerWith(), 'llm.test')).rejects.toMatchObject({ code: 'provider_unreachable' });
      await expect(call(routerWith(ca), 'other.test')).rejects.toMatchObject({
        code: 'provider_unreachable',
      });
      expect(requests).toEqual([]);
    } finally {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
    }
  });

  it.each([
    ['ssl_verify', { ssl_verify: false }],
    ['rejectUnauthorized', { rejectUnauthorized: false }],
    ['ca', { ca: 'x' }],
    ['extra_headers', { extra_headers: { host: 'llm.test' } }],
  ])('is not for a team to judge: %s is refused', async (field, more) => {
    const router = routerWith();
    const body = { model_name: 'm', litellm_params: { ...params('llm.test'), ...more } };
    await expect(router.addModel('acme', body)).rejects.toMatchObject({
      code: 'invalid_request',
      param: `litellm_params.${field}`,
    });
  });
});

it('what is no certificate is refused as an option, not at the first call', () => {
  expect(() => routerWith('no certificate')).toThrow(
    expect.objectContaining({ code: 'invalid_request', param: 'egress.ca' }),
  );
});

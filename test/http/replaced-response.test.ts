import { once } from 'node:events';
import { serve } from '@hono/node-server';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { afterEach, expect, it, vi } from 'vitest';

const { Request: originalRequest, Response: originalResponse } = globalThis;

afterEach(() => {
  vi.restoreAllMocks();
  vi.resetModules();
  Object.defineProperty(globalThis, 'Request', { value: originalRequest });
  Object.defineProperty(globalThis, 'Response', { value: originalResponse });
});

it.each(['before', 'after'])(
  'prints nothing if an application of Hono is served %s the gateway is loaded',
  async (when) => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    if (when === 'after') await import('team-model-router/http/node');
    const application = serve({ fetch: () => new Response('x'), port: 0, hostname: '127.0.0.1' });
    await once(application, 'listening');
    if (when === 'before') vi.resetModules();
    const { createGateway } = await import('team-model-router/http');
    const { serveGateway } = await import('team-model-router/http/node');
    const router = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
    });
    const gateway = await serveGateway(createGateway(router, { masterKey: 'm'.repeat(40) }), { port: 0 });
    try {
      for (const path of ['/v1/models', '/health/liveliness', '/team/list', '/nope']) {
        for (const method of ['HEAD', 'GET']) {
          const response = await fetch(`${gateway.url}${path}`, { method });
          await response.text();
          expect([200, 401, 404]).toContain(response.status);
        }
      }
      expect(printed.mock.calls).toEqual([]);
    } finally {
      await gateway.close();
      await router.close({ drainTimeoutMs: 0 });
      application.close();
    }
  },
);

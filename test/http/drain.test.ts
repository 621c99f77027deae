import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serveGateway } from 'team-model-router/http/node';
import { afterEach, describe, expect, it } from 'vitest';
import { drain, OpenRequests } from '../../src/http/drain.ts';

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.closeAllConnections();
});

async function listen(
  answerNever: () => void,
): Promise<{ server: Server; requests: OpenRequests; url: string }> {
  const requests = new OpenRequests();
  const server = createServer((_, outgoing) => {
    requests.opened(outgoing);
    answerNever();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, requests, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe('draining', () => {
  it('a server without an open request closes at once, though connections are kept alive', async () => {
    const gateway = { fetch: () => new Response('{}', { headers: { 'content-type': 'application/json' } }) };
    const server = await serveGateway(gateway, { port: 0, drainTimeoutMs: 86_400_000 });
    expect((await fetch(server.url)).status).toBe(200);
    await server.close();
    await expect(fetch(server.url)).rejects.toThrow();
    await server.close();
  });

  it('a request that never ends is cut off at the deadline', async () => {
    let arrived: () => void = () => {};
    const there = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const { server, requests, url } = await listen(() => arrived());
    const call = fetch(url).then(
      () => 'answered',
      () => 'cut off',
    );
    await there;
    await drain(server, requests, 20);
    expect(await call).toBe('cut off');
  });
});

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { generateEncryptionKey, memoryStorage, type Receipt, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { serveGateway } from 'team-model-router/http/node';
import { afterEach, describe, expect, it } from 'vitest';
import { drain, OpenRequests } from '../../src/http/adapters/drain.ts';
import { chatChunks, recordingProvider } from '../support/recording-provider.ts';

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
  it('a server without an open request closes immediately, even with idle connections', async () => {
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

describe('the deadline of serveGateway', () => {
  const masterKey = 'master-key-of-the-tests-0123456789';
  const created =
    'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1"}}\n\n';
  const first = `data: ${JSON.stringify(chatChunks('m')[0])}\n\n`;

  /** A gateway whose provider begins streams and answers nothing else. */
  async function running() {
    const receipts: Receipt[] = [];
    const lines: string[] = [];
    const log = (_: object, message: string) => lines.push(message);
    let arrived = () => {};
    const asked = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const provider = await recordingProvider((request, response) => {
      if (String(request.body).includes('"stream":true'))
        response
          .writeHead(200, { 'content-type': 'text/event-stream' })
          .write(request.url.endsWith('/responses') ? created : first);
      arrived();
    });
    const router = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow: [provider.url] },
      onCall: (receipt) => receipts.push(receipt),
      logger: { info: log, warn: log, error: log },
    });
    await router.createTeam({ team_id: 'acme', settings: { allowed_fails: 1 } });
    await router.addModel('acme', {
      model_name: 'm',
      litellm_params: { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: provider.url },
    });
    const { key } = await router.createKey('acme');
    const gateway = createGateway(router, { masterKey });
    const server = await serveGateway(gateway, { port: 0, drainTimeoutMs: 0 });
    const call = (path: string, body: object) =>
      fetch(server.url + path, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    const end = async () => {
      await router.close();
      await provider.close();
    };
    return { provider, receipts, lines, asked, router, server, call, end };
  }

  it.each([
    ['/v1/chat/completions', /^data: \{"error":\{.*"code":"draining"\}\}\n\n$/],
    // Not by the fast path.
    ['/openai/deployments/m/chat/completions', /^data: \{"error":\{.*"code":"draining"\}\}\n\n$/],
    [
      '/v1/responses',
      /^event: error\ndata: \{"type":"error","code":"draining".*"sequence_number":1,.*\}\n\n$/,
    ],
  ])('cut an open stream of %s off without a word: an error event ends it', async (path, last) => {
    const { receipts, lines, server, call, end } = await running();
    const response = await call(path, { model: 'm', messages: [], input: 'x', stream: true });
    const reader = response.body?.getReader();
    let text = Buffer.from((await reader?.read())?.value ?? []).toString();
    const closed = server.close();
    const broken = (async () => {
      for (;;) {
        const next = await reader?.read();
        if (next === undefined || next.done) return false;
        text += Buffer.from(next.value).toString();
      }
    })().catch(() => true);
    expect(await broken).toBe(true);
    await closed;
    const begun = path === '/v1/responses' ? created : first;
    expect(text.startsWith(begun)).toBe(true);
    expect(text.slice(begun.length)).toMatch(last);
    await new Promise(setImmediate);
    expect(receipts).toMatchObject([{ status: 200, code: 'draining' }]);
    expect(lines).not.toContain('deployment cooling down');
    await end();
  });

  it('cut a call off that waits for its answer: it gets 503 draining', async () => {
    const { receipts, lines, asked, server, call, end } = await running();
    const answer = call('/v1/chat/completions', { model: 'm', messages: [] });
    await asked;
    const closed = server.close();
    const response = await answer;
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ error: { code: 'draining' } });
    await closed;
    await new Promise(setImmediate);
    const attempts = [{ status: 503, reason: 'draining' }];
    expect(receipts).toMatchObject([{ status: 503, code: 'draining', attempts }]);
    expect(lines).not.toContain('deployment cooling down');
    await end();
  });

  it('asks no provider for a call whose key was still looked up', async () => {
    const { provider, router, end } = await running();
    const { key } = await router.createKey('acme');
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let begin = () => {};
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const slow = Object.assign(Object.create(router), {
      verifyKey: async (given: string) => {
        begin();
        await held;
        return router.verifyKey(given);
      },
      dispatch: router.dispatch.bind(router),
      reserveMemory: router.reserveMemory.bind(router),
    }) as TeamModelRouter;
    const server = await serveGateway(createGateway(slow, { masterKey }), { port: 0, drainTimeoutMs: 0 });
    const answer = fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', messages: [] }),
    });
    await begun;
    const closed = server.close();
    await new Promise(setImmediate);
    release();
    const response = await answer;
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ error: { code: 'draining' } });
    await closed;
    expect(provider.requests).toHaveLength(0);
    await end();
  });

  it('leaves the calls of the application itself alone', async () => {
    const { asked, router, server, end } = await running();
    const call = router.chatCompletion('acme', { model: 'm', messages: [] }).catch(({ code }) => code);
    await asked;
    await server.close();
    expect(await router.listModels('acme')).toMatchObject({ data: [{ model_name: 'm' }] });
    await router.close({ drainTimeoutMs: 0 });
    expect(await call).toBe('draining');
    await end();
  });
});

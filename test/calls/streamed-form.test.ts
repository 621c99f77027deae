import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readFormModel, written } from '../../src/calls/form/body.ts';
import { FormScanner } from '../../src/calls/form/multipart-scanner.ts';
import { sendJson } from '../support/recording-provider.ts';
import { runs } from '../support/runs.ts';

const boundary = 'a-boundary';
const contentType = `multipart/form-data; boundary=${boundary}`;

const field = (name: string, value: string | Buffer, filename = '') =>
  Buffer.concat([
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${filename && `; filename="${filename}"`}\r\n\r\n`,
    ),
    Buffer.from(value),
    Buffer.from('\r\n'),
  ]);
const closing = Buffer.from(`--${boundary}--\r\n`);
const file = (size: number) => field('file', Buffer.alloc(size, 'x'), 'a.bin');

/** Cuts bytes at these places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [
    0,
    ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b),
    bytes.length,
  ];
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end));
}

async function* pieces(...chunks: (Uint8Array | (() => Promise<unknown>))[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    if (typeof chunk === 'function') await chunk();
    else yield chunk;
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

const tail = fc.constantFrom('', '\r', '\r\n', '\r\n-', '\r\n--', `\r\n--${boundary.slice(0, -1)}`, 'x');
const content = fc
  .tuple(fc.uint8Array({ maxLength: 40 }), tail)
  .map(([bytes, end]) => Buffer.concat([bytes, Buffer.from(end)]))
  .filter((bytes) => !bytes.includes(`--${boundary}`));

test('a form reads the same wherever its bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(content, { maxLength: 4 }),
      fc.option(fc.string({ unit: 'grapheme', maxLength: 8 })),
      fc.nat(),
      fc.array(fc.nat(), { maxLength: 30 }),
      (contents, model, position, places) => {
        const parts = contents.map((bytes) => field('file', bytes, 'f'));
        if (model !== null) parts.splice(position % (parts.length + 1), 0, field('model', model));
        const bytes = Buffer.concat([...parts, closing]);
        const scanner = new FormScanner(contentType);
        const tokens = cut(bytes, places).flatMap((chunk) => [...scanner.feed(chunk)]);
        scanner.end();
        expect(Buffer.concat(tokens.map((token) => token.bytes)).equals(bytes)).toBe(true);
        const whole = readFormModel(bytes, contentType);
        expect(scanner.model).toBe(whole.model);
        const streamed = Buffer.concat(tokens.flatMap((token) => written(scanner, token, 'theirs')));
        expect(streamed.equals(whole.replace('theirs'))).toBe(true);
      },
    ),
    { numRuns: runs(500) },
  );
});

type Incoming = { request: IncomingMessage; response: ServerResponse };

let close: () => Promise<void>;
let url: string;
let router: TeamModelRouter;
let calls: Incoming[];
let onCall: (call: Incoming) => void;

beforeEach(async () => {
  calls = [];
  onCall = answer;
  const server = createServer((request, response) => {
    request.on('error', () => {});
    calls.push({ request, response });
    onCall({ request, response });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [url] },
    maxBodyBytes: 20_000_000,
    maxHeldBytes: 1_000_000,
  });
  await add('mine', 'theirs');
  close = async () => {
    await router.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
});
afterEach(() => close());

const add = (name: string, model: string) =>
  router.addModel('acme', {
    model_name: name,
    litellm_params: { model, api_key: 'sk-of-acme', api_base: url },
  });

async function bodyOf(request: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

let received: Promise<Buffer>;
function answer({ request, response }: Incoming): void {
  received = bodyOf(request).then((body) => {
    sendJson(response, 200, { id: 'file-1', text: 'heard' });
    return body;
  });
}

interface Sent {
  path?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

async function send(body: AsyncIterable<Uint8Array>, { path, headers, signal }: Sent = {}) {
  const init = {
    method: 'POST',
    body: body as unknown as ReadableStream,
    duplex: 'half' as const,
    headers: { 'content-type': contentType, ...headers },
    ...(signal === undefined ? {} : { signal }),
  };
  const response = await router.fetchFor('acme')(teamBaseUrl + (path ?? '/audio/transcriptions'), init);
  return { status: response.status, body: (await response.json()) as { error?: { message: string } } };
}

test('an upload reaches the provider while it is still being made', async () => {
  const begun = deferred();
  onCall = (call) => {
    call.request.once('data', () => begun.resolve());
    answer(call);
  };
  const bytes = Buffer.concat([field('purpose', 'batch'), file(500_000), closing]);
  const body = pieces(bytes.subarray(0, 400_000), () => begun.promise, bytes.subarray(400_000));
  expect((await send(body, { path: '/files' })).status).toBe(200);
  expect((await received).equals(bytes)).toBe(true);
});

test('a model behind a file is found in what is held back, and only its bytes change', async () => {
  const bytes = [file(900_000), field('model', 'mine'), field('prompt', 'p'), file(900_000), closing];
  expect((await send(pieces(...bytes))).status).toBe(200);
  const expected = [file(900_000), field('model', 'theirs'), field('prompt', 'p'), file(900_000), closing];
  expect((await received).equals(Buffer.concat(expected))).toBe(true);
});

test('a model too far behind is a 413 that says what to send instead, and with that it goes through', async () => {
  const bytes = [file(2_000_000), field('model', 'mine'), closing];
  const refused = await send(pieces(...cut(Buffer.concat(bytes), [900_000, 1_000_001])));
  expect(refused).toMatchObject({
    status: 413,
    body: { error: { code: 'request_too_large', param: 'model' } },
  });
  expect(refused.body.error?.message).toContain('x-team-model');
  expect(calls).toHaveLength(0);
  const expected = Buffer.concat([file(2_000_000), field('model', 'theirs'), closing]);
  expect((await send(pieces(...bytes), { headers: { 'x-team-model': 'mine' } })).status).toBe(200);
  expect((await received).equals(expected)).toBe(true);
  expect((await send(pieces(...bytes), { path: '/audio/transcriptions?model=mine' })).status).toBe(200);
  expect((await received).equals(expected)).toBe(true);
});

test.each(['/audio/transcriptions', '/images/edits', '/images/variations'])(
  'a model far behind is a 413 where the team has several: %s',
  async (path) => {
    await add('other', 'others');
    const bytes = [file(2_000_000), field('model', 'mine'), closing];
    const { status, body } = await send(pieces(...bytes), { path });
    expect({ status, error: body.error }).toMatchObject({ status: 413, error: { param: 'model' } });
    expect(body.error?.message).toContain('name it in the header x-team-model');
    expect(calls).toHaveLength(0);
    expect((await send(pieces(...bytes), { path, headers: { 'x-team-model': 'mine' } })).status).toBe(200);
    expect((await received).includes('theirs')).toBe(true);
  },
);

test('a streamed form that names no model gets one at its end', async () => {
  const bytes = [file(2_000_000), closing];
  expect((await send(pieces(...bytes), { headers: { 'x-team-model': 'mine' } })).status).toBe(200);
  expect((await received).equals(Buffer.concat([file(2_000_000), field('model', 'theirs'), closing]))).toBe(
    true,
  );
});

test('the model of a form wins over a header that a client sends with every call', async () => {
  await add('other', 'others');
  const bytes = [file(10), field('model', 'other'), closing];
  expect((await send(pieces(...bytes), { headers: { 'x-team-model': 'mine' } })).status).toBe(200);
  expect(String(await received)).toContain('others');
});

test('a model that comes after the first bytes were sent may not differ from the header', async () => {
  await add('other', 'other');
  const bytes = [file(2_000_000), field('model', 'other'), closing];
  const refused = await send(pieces(...bytes), { headers: { 'x-team-model': 'mine' } });
  expect(refused).toMatchObject({
    status: 400,
    body: { error: { code: 'invalid_request', param: 'model' } },
  });
  for (const { request } of calls) expect(request.complete).toBe(false);
});

test('an upload of a file is left as it is, whatever its fields are called', async () => {
  const bytes = Buffer.concat([field('model', 'mine'), field('purpose', 'batch'), file(10), closing]);
  expect((await send(pieces(bytes), { path: '/files' })).status).toBe(200);
  expect((await received).equals(bytes)).toBe(true);
});

const failOnce = (call: Incoming) => {
  if (calls.length > 1) answer(call);
  else void bodyOf(call.request).then(() => sendJson(call.response, 500, {}));
};

test('a form that was held whole is tried again', async () => {
  onCall = failOnce;
  expect((await send(pieces(file(200_000), field('model', 'mine'), closing))).status).toBe(200);
  expect(calls).toHaveLength(2);
});

test('a form that was read while it was sent is not tried again', async () => {
  onCall = failOnce;
  expect((await send(pieces(field('model', 'mine'), file(2_000_000), closing))).status).toBe(500);
  expect(calls).toHaveLength(1);
});

test('a body that breaks off ends the call, and the provider never sees its end', async () => {
  const closed = deferred();
  onCall = ({ request }) => {
    request.resume().once('close', () => closed.resolve());
  };
  const broken = () => Promise.reject(new Error('the client is gone'));
  const result = await send(pieces(field('model', 'mine'), file(2_000_000), broken));
  expect(result).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
  await closed.promise;
  expect(calls[0]?.request.complete).toBe(false);
});

test('an abort ends the wait for a body that does not come, and lets go of it', async () => {
  const controller = new AbortController();
  const released = deferred();
  const body: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        queueMicrotask(() => controller.abort(new Error('enough')));
        return new Promise(() => {});
      },
      return: () => {
        released.resolve();
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  };
  await expect(send(body, { signal: controller.signal })).rejects.toThrow('enough');
  await released.promise;
});

test('releases a body for an unknown model', async () => {
  let released = false;
  async function* body() {
    try {
      yield Buffer.concat([field('model', 'nobody'), file(300_000)]);
      yield closing;
    } finally {
      released = true;
    }
  }
  expect((await send(body())).status).toBe(404);
  expect(released).toBe(true);
});

test('a streamed body is bounded', async () => {
  onCall = ({ request }) => request.resume();
  const result = await send(
    pieces(
      field('model', 'mine'),
      file(0).subarray(0, -2),
      ...Array.from({ length: 25 }, () => Buffer.alloc(1_000_000)),
    ),
  );
  expect(result).toMatchObject({ status: 413, body: { error: { code: 'request_too_large' } } });
});

test('accepts a JSON body in chunks', async () => {
  const text = '{"model":"mine","messages":[],"seed":12345678901234567890}';
  const chunks = cut(Buffer.from(text), [3, 12, 40]);
  const headers = { 'content-type': 'application/json' };
  expect((await send(pieces(...chunks), { path: '/chat/completions', headers })).status).toBe(200);
  expect(String(await received)).toBe(text.replace('mine', 'theirs'));
});

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type MeasuredGateway,
  measuredGateway,
  type RawConnection,
  rawConnection,
} from '../support/measured-gateway.ts';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const megabyte = 1_048_576;
const piece = Buffer.alloc(megabyte, 'x');

let provider: RecordingProvider;
let gateway: MeasuredGateway;
const connections: RawConnection[] = [];

beforeAll(async () => {
  provider = await recordingProvider();
  gateway = await measuredGateway(
    provider.url,
    { maxTeamBytesInFlight: 32 * megabyte, maxBytesInFlight: 64 * megabyte },
    { bodyIdleMs: 400 },
  );
});
afterAll(async () => {
  await gateway.close();
  await provider.close();
});
afterEach(() => {
  for (const { socket } of connections.splice(0)) socket.destroy();
});

function open(): RawConnection {
  const connection = rawConnection(gateway.port);
  connections.push(connection);
  return connection;
}

interface Head {
  key?: string;
  path?: string;
  type?: string;
  length?: number | 'chunked';
  more?: string;
}

function head({
  key = gateway.key,
  path = '/v1/chat/completions',
  type = 'application/json',
  ...rest
}: Head) {
  const { length = 100 * megabyte, more = '' } = rest;
  const framing = length === 'chunked' ? 'transfer-encoding: chunked' : `content-length: ${length}`;
  return `POST ${path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ${key}\r\ncontent-type: ${type}\r\n${framing}\r\n${more}\r\n`;
}

/** Writes pieces until an answer comes or the connection ends: as fast as they are taken. */
async function pour(connection: RawConnection, pieces: number, chunked = false): Promise<void> {
  const { socket } = connection;
  for (let count = 0; count < pieces && connection.text() === '' && !socket.destroyed; count++) {
    if (chunked) socket.write(`${megabyte.toString(16)}\r\n`);
    const written = new Promise<void>((resolve) => void socket.write(piece, () => resolve()));
    if (chunked) socket.write('\r\n');
    await Promise.race([written, connection.closed]);
  }
}

describe('six unfinished bodies of 100 MiB', () => {
  const limits = { grown: 0 };
  const attack = async (given: Head, chunked = false) => {
    const before = await gateway.resident('reset');
    const opened = Array.from({ length: 6 }, () => open());
    await Promise.all(
      opened.map(async (connection) => {
        connection.socket.write(head(given));
        await pour(connection, 100, chunked);
      }),
    );
    limits.grown = ((await gateway.resident('peak')) - before) / megabyte;
    return Promise.all(opened.map(({ until }) => until(/\r\n\r\n/)));
  };

  it('by a key that may call nothing are refused unread', async () => {
    for (const answer of await attack({ key: gateway.idle })) expect(answer).toMatch(/^HTTP\/1.1 404 /);
    expect(limits.grown).toBeLessThan(48);
  });

  it('are refused by their length, if they are no forms', async () => {
    for (const answer of await attack({})) expect(answer).toMatch(/^HTTP\/1.1 413 /);
    expect(limits.grown).toBeLessThan(48);
  });

  it('without a length hold no more than the share of their team', async () => {
    for (const answer of await attack({ length: 'chunked' }, true)) {
      expect(answer).toMatch(/^HTTP\/1.1 (413|429) /);
    }
    // What was read, and is garbage by now, is resident too.
    expect(limits.grown).toBeLessThan(32 + 128);
  });

  it('to management are refused by their length, and chunked ones at 1 MiB', async () => {
    for (const answer of await attack({ path: '/model/new' })) expect(answer).toMatch(/^HTTP\/1.1 413 /);
    for (const answer of await attack({ path: '/model/new', length: 'chunked' }, true))
      expect(answer).toMatch(/^HTTP\/1.1 413 /);
    expect(limits.grown).toBeLessThan(48);
  });
});

describe('a body that is announced', () => {
  it('keeps its team from more than its share, with retry-after, and gives it back when its client leaves', async () => {
    const first = open();
    first.socket.write(head({ length: 30 * megabyte, more: 'expect: 100-continue\r\n' }));
    await first.until(/100 Continue/);
    const second = open();
    second.socket.write(head({ length: 3 * megabyte }));
    const refused = await second.until(/"code":"\w+"/);
    expect(refused).toMatch(/^HTTP\/1.1 429 /);
    expect(refused).toMatch(/\r\nretry-after: 1\r\n/i);
    expect(refused).toContain('"code":"rate_limit_exceeded"');
    first.socket.destroy();
    await expect
      .poll(async () => {
        const third = open();
        third.socket.write(head({ length: 3 * megabyte, more: 'expect: 100-continue\r\n' }));
        return (await third.until(/\r\n\r\n/)).slice(0, 12);
      })
      .toBe('HTTP/1.1 100');
  });

  it('and stops is answered 408, and its connection is closed', async () => {
    for (const given of [
      {},
      { path: '/model/new' },
      { type: 'multipart/form-data; boundary=b', path: '/v1/audio/transcriptions' },
      { type: 'application/json; charset=utf-8' },
    ]) {
      const connection = open();
      connection.socket.write(head({ ...given, length: 1_000 }));
      connection.socket.write('--b\r\n');
      await connection.closed;
      expect(connection.text()).toMatch(/^HTTP\/1.1 408 /);
      expect(connection.text()).toContain('"code":"invalid_request"');
    }
  });

  it('for a model of the path that is not the caller’s is refused unread', async () => {
    for (const given of [
      { path: '/openai/deployments/nobodys/chat/completions' },
      { path: '/v1/audio/transcriptions?model=nobodys', type: 'multipart/form-data; boundary=b' },
      {
        path: '/v1/files',
        type: 'multipart/form-data; boundary=b',
        more: 'x-team-model: nobodys\r\n',
      },
    ]) {
      const connection = open();
      connection.socket.write(head({ ...given, length: 1_000_000 }));
      const answer = await connection.until(/"code":"\w+"/);
      expect(answer).toMatch(/^HTTP\/1.1 404 /);
      expect(answer).toContain('model_not_found');
    }
    expect(provider.requests).toHaveLength(0);
  });
});

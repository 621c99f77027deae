import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { reply } from '../../src/http/messages/reply.ts';

const servers: Server[] = [];

afterEach(() => {
  vi.useRealTimers();
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

/** An endless answer to a client that sends a request and reads nothing; tells of each chunk that was asked for. */
async function endless(onChunk: () => void): Promise<{ returned: Promise<void>; leave: () => void }> {
  let tellReturned: () => void = () => {};
  const returned = new Promise<void>((resolve) => {
    tellReturned = resolve;
  });
  async function* body() {
    try {
      for (;;) {
        onChunk();
        yield Buffer.alloc(65_536, 'x');
      }
    } finally {
      tellReturned();
    }
  }
  const server = createServer((_incoming, outgoing) => {
    void reply({ status: 200, headers: {}, body: body() }, { outgoing, direct: true }, {});
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => {}).pause();
  client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  return { returned, leave: () => client.destroy() };
}

/** Resolves when no more chunks are asked for: the reader's buffers are full. */
function stalled(): { onChunk: () => void; full: Promise<number> } {
  let count = 0;
  let quiet: NodeJS.Timeout | undefined;
  let tell: (count: number) => void = () => {};
  const full = new Promise<number>((resolve) => {
    tell = resolve;
  });
  const onChunk = () => {
    count += 1;
    clearTimeout(quiet);
    quiet = setTimeout(() => tell(count), 100);
  };
  return { onChunk, full };
}

describe('a reader that takes nothing', () => {
  it('is written to at its pace, and its disconnect ends the source', async () => {
    const { onChunk, full } = stalled();
    const { returned, leave } = await endless(onChunk);
    expect(await full).toBeLessThan(500);
    leave();
    await returned;
  });

  it('is cut off after two minutes', async () => {
    const { onChunk, full } = stalled();
    const fake = vi.spyOn(globalThis, 'setTimeout');
    const { returned } = await endless(onChunk);
    await full;
    const [cutOff] = fake.mock.calls.findLast(([, milliseconds]) => milliseconds === 120_000) ?? [];
    if (cutOff === undefined) throw new Error('no timer waits for the reader');
    // What the timer would do in two minutes.
    cutOff();
    await returned;
    fake.mockRestore();
  });
});

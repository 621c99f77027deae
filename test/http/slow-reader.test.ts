import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { mounts } from '../support/gateway-mounts.ts';
import type { Commands } from '../support/mounts-child.ts';
import { type Handler, type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const megabyte = 1_048_576;
const event = Buffer.from(`data: {"choices":[{"delta":{"content":"${'x'.repeat(65_000)}"}}]}\n\n`);
const ending = Buffer.from('data: [DONE]\n\n');
const events = Math.ceil((200 * megabyte) / event.length);
const total = events * event.length + ending.length;
const body = JSON.stringify({ model: 'my-team-model', messages: [], stream: true });
// What the kernel holds for the connections on both sides of the gateway is some megabytes each.
const maxHeld = 48 * megabyte;
const maxGrowth = 150 * megabyte;

let provider: RecordingProvider;
let child: ChildProcess;
/** Bytes that the provider has got rid of, for the stream that is open. */
let sent = 0;

/** As fast as the other side takes it, and no faster. */
const sendAll: Handler = async (_request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (let count = 0; count < events; count++) {
    if (!response.write(event)) await once(response, 'drain');
    sent += event.length;
  }
  response.end(ending);
};

async function ask<Name extends keyof Commands>(
  command: Name,
  argument?: string,
): Promise<Awaited<ReturnType<Commands[Name]>>> {
  child.send([command, argument]);
  const [[answer]] = await once(child, 'message');
  return answer;
}

beforeAll(async () => {
  provider = await recordingProvider(sendAll);
  child = fork(fileURLToPath(new URL('../support/mounts-child.ts', import.meta.url)), [provider.url], {
    execArgv: ['--import', 'tsx'],
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  });
  await once(child, 'message');
});
afterAll(async () => {
  child.kill();
  await once(child, 'exit');
  await provider.close();
});
beforeEach(() => {
  sent = 0;
});

/** Opens the stream: what it gives is the next piece, as it comes. */
async function open(url: string, headers: Record<string, string>): Promise<() => Promise<string>> {
  if (url === '') {
    expect(await ask('open', body)).toBe(200);
    return () => ask('read');
  }
  const response = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body });
  expect(response.status).toBe(200);
  const reader = response.body?.getReader();
  return async () => Buffer.from((await reader?.read())?.value ?? []).toString('latin1');
}

// The other ways of mounting differ in what is read of a request, not in how an answer is written.
const names = Object.keys(mounts).filter((name) => !/rawBody|prefix/.test(name));

describe('200 MB to a slow reader', () => {
  it.each(names)('over %s: the provider waits, and memory stays bounded', async (name) => {
    const { url, key } = await ask('mount', name);
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const before = await ask('memory');
    const next = await open(url, headers);
    let text = await next();
    let received = text.length;

    // Others are served while this one takes nothing: a gateway that did not wait would have taken all by then.
    for (let count = 0; count < 100; count++) {
      if (url === '') await ask('memory');
      else await (await fetch(`${url}/v1/models`, { headers })).text();
    }
    expect(sent).toBeLessThan(maxHeld);
    let most = await ask('memory');
    let asked = received;
    while (text !== '') {
      text = await next();
      received += text.length;
      if (received - asked < 5 * megabyte) continue;
      asked = received;
      expect(sent - received).toBeLessThan(maxHeld);
      most = Math.max(most, await ask('memory'));
    }
    expect(received).toBe(total);
    expect(most - before).toBeLessThan(maxGrowth);
  });
});

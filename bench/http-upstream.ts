/**
 * A provider for bench/http: 600 bytes of JSON, or a stream of 100 events: at once, or one every 5 ms if the body's
 * last message says "paced". Tells its parent its port.
 */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answer, chunks, done } from './http-answers.ts';

const server = createServer((request, response) => {
  let head = '';
  request.on('data', (chunk: Buffer) => {
    if (head.length < 4096) head += chunk.toString('latin1');
  });
  request.on('end', () => {
    if (!head.includes('"stream":true')) {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length });
      response.end(answer);
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (head.includes('"paced"')) paced(response, 0);
    else {
      for (const chunk of chunks) response.write(chunk);
      response.end(done);
    }
  });
});

function paced(response: ServerResponse, index: number): void {
  const chunk = chunks[index];
  if (chunk === undefined) return void response.end(done);
  response.write(chunk);
  setTimeout(paced, 5, response, index + 1);
}

server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit());

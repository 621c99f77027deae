/** The least that a proxy can do: node:http in front, undici.request behind, bytes piped. argv: the upstream's URL */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'undici';
import { answerToParent } from './http-child.ts';

const pool = new Pool(process.argv[2] ?? '', { connections: 256, pipelining: 1 });

const server = createServer((incoming, outgoing) => {
  const parts: Buffer[] = [];
  incoming.on('data', (chunk: Buffer) => parts.push(chunk));
  incoming.on('end', async () => {
    const { statusCode, headers, body } = await pool.request({
      method: 'POST',
      path: incoming.url ?? '/',
      headers: { 'content-type': 'application/json', authorization: 'Bearer sk-0123456789abcdef' },
      body: parts.length === 1 ? (parts[0] ?? null) : Buffer.concat(parts),
    });
    const passed: Record<string, string> = { 'content-type': String(headers['content-type']) };
    if (headers['content-length'] !== undefined) passed['content-length'] = String(headers['content-length']);
    outgoing.writeHead(statusCode, passed);
    body.pipe(outgoing);
  });
});
server.listen(0, '127.0.0.1', () => answerToParent((server.address() as AddressInfo).port));

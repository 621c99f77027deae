import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { closed } from '../../open-work.ts';
import type { Session } from '../../sessions/session.ts';
import { upgradeOf } from '../messages/bindings.ts';

/** The WebSocket sessions of one server. */
export interface Upgrades {
  /** Ends the open sessions with close code 1001. */
  end(): void;
}

/**
 * Has a server open WebSocket sessions. A request to upgrade to another protocol, which Java's HTTP client sends with each
 * ordinary request, is served as if it had not asked.
 *
 * @param depth number of segments that the gateway is mounted under
 */
export function listenForUpgrades(server: Server, fetch: object, depth: number): Upgrades {
  const sessions = new Set<Session>();
  const upgrade = upgradeOf(fetch);
  server.on('upgrade', (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    const isAlone = server.listenerCount('upgrade') === 1;
    if (isAlone && !/^websocket$/i.test(incoming.headers.upgrade ?? ''))
      serveAgain(server, incoming, socket, head);
    else upgrade?.(incoming, socket, head, { depth, isAlone, sessions });
  });
  return {
    end() {
      for (const session of sessions) session.end(closed());
      sessions.clear();
    },
  };
}

/** Gives a request back to the server without its wish to upgrade. */
function serveAgain(server: Server, incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { method, url, httpVersion, rawHeaders } = incoming;
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    if (!/^(upgrade|http2-settings|connection)$/i.test(name)) lines.push(`${name}: ${rawHeaders[at + 1]}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket as Socket);
}

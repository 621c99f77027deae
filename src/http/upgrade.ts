import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { errorAnswer } from '../calls/answer.ts';
import { matchEndpoint } from '../calls/endpoints/match.ts';
import { RouterError } from '../errors.ts';
import type { TeamModelRouter } from '../router.ts';
import { type AcceptSession, loadAccept } from '../sessions/accept.ts';
import { matchSession } from '../sessions/paths.ts';
import type { Session } from '../sessions/session.ts';
import type { Principal } from '../teams/principal.ts';
import { refuseForeignOrigin } from './auth/cross-site.ts';
import { permitted } from './auth/permissions.ts';
import { toCaller } from './auth/principal.ts';
import type { NodeBindings, UpgradeHandler } from './messages/bindings.ts';
import { type HeaderReader, NodeHeaders } from './messages/request-headers.ts';
import type { Responder } from './messages/responder.ts';
import { writeAnswer } from './messages/server-errors.ts';

export interface UpgradeOptions {
  basePath: string | undefined;
  authenticateKey: (headers: HeaderReader) => Principal | Promise<Principal>;
  /** Authenticates by the application's own function. Absent: by keys. */
  session:
    | ((
        request: Request,
        bindings: NodeBindings,
        answered: (name: string) => unknown,
      ) => Principal | Promise<Principal>)
    | undefined;
  responder: Responder;
  /** Whether CORS lets pages of an origin call with cookies. */
  invited: (origin: string) => boolean;
}

const keyProtocol = 'openai-insecure-api-key.';
const betaProtocol = 'openai-beta.';

/** Creates the handler of upgrades: it authenticates, opens a session, and completes the handshake only then. */
export function createUpgrade(router: TeamModelRouter, options: UpgradeOptions): UpgradeHandler {
  const { responder } = options;
  const depth = options.basePath?.split('/').filter(Boolean).length ?? 0;
  let accept: AcceptSession | undefined;

  const open = async (
    incoming: IncomingMessage,
    path: string,
    query: URLSearchParams,
    signal: AbortSignal,
  ) => {
    const headers = new UpgradeHeaders(incoming);
    const principal = permitted(await authenticate(incoming, headers, options), 'calls');
    if (matchSession(path) === undefined) throw noSession(path);
    accept ??= await loadAccept();
    const token = principal.master ? undefined : principal.token;
    return router.openSession(toCaller(principal), {
      path,
      query,
      headers,
      signal,
      ...(token === undefined ? {} : { keyToken: token }),
    });
  };

  const serve = async (
    incoming: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    path: string,
    sessions: Set<Session>,
  ): Promise<void> => {
    const leaving = new AbortController();
    const left = () => leaving.abort(new DOMException('The client left.', 'AbortError'));
    socket.once('close', left);
    try {
      const { searchParams } = new URL(incoming.url ?? '/', 'http://localhost');
      const opened = await open(incoming, path, searchParams, leaving.signal);
      socket.off('close', left);
      if ('answer' in opened) return writeAnswer(socket, opened.answer);
      const { session } = opened;
      if (socket.destroyed || !isHandshake(incoming)) {
        session.abandon();
        if (!socket.destroyed) writeAnswer(socket, errorAnswer(malformed()));
        return;
      }
      for (const each of sessions) if (each.hasEnded) sessions.delete(each);
      sessions.add(session);
      accept?.(session, incoming, socket, head);
    } catch (error) {
      socket.off('close', left);
      const answer = responder.failed(error, { incoming });
      if (socket.destroyed) return;
      writeAnswer(socket, answer);
    }
  };

  return (incoming, socket, head, mount) => {
    socket.on('error', () => socket.destroy());
    const path = pathUnder(incoming.url ?? '/', mount.depth + depth);
    if (matchSession(path) === undefined && !mount.isAlone) return;
    if (!/^websocket$/i.test(incoming.headers.upgrade ?? '')) {
      writeAnswer(socket, errorAnswer(malformed()));
      return;
    }
    void serve(incoming, socket, head, path, mount.sessions);
  };
}

async function authenticate(
  incoming: IncomingMessage,
  headers: UpgradeHeaders,
  { session, authenticateKey, invited }: UpgradeOptions,
): Promise<Principal> {
  if (session === undefined) return authenticateKey(headers);
  const request = new Request(
    new URL(incoming.url ?? '/', `http://${incoming.headers.host ?? 'localhost'}`),
    {
      headers: headers.all(),
    },
  );
  const principal = await session(request, { incoming }, () => undefined);
  // The master key is no cookie, so no page can have a browser send it unasked.
  if (!principal.master) refuseForeignOrigin(headers, invited);
  return principal;
}

/** The headers of an upgrade. Browsers cannot set headers, so a key may be in the list of subprotocols instead. */
class UpgradeHeaders implements HeaderReader {
  readonly #headers: NodeHeaders;
  readonly #incoming: IncomingMessage;
  readonly #protocols: readonly string[];

  constructor(incoming: IncomingMessage) {
    this.#headers = new NodeHeaders(incoming);
    this.#incoming = incoming;
    const offered = this.#headers.get('sec-websocket-protocol') ?? '';
    this.#protocols = offered.split(',').map((protocol) => protocol.trim());
  }

  get(name: string): string | null {
    const own = this.#headers.get(name);
    if (own !== null) return own;
    if (name === 'authorization') {
      const key = this.#after(keyProtocol);
      return key === undefined ? null : `Bearer ${key}`;
    }
    const beta = name === 'openai-beta' ? this.#after(betaProtocol) : undefined;
    return beta?.replace('-', '=') ?? null;
  }

  all(): Headers {
    const found = new Headers();
    const { rawHeaders } = this.#incoming;
    for (let at = 0; at + 1 < rawHeaders.length; at += 2)
      found.append(rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '');
    const authorization = this.get('authorization');
    if (authorization !== null) found.set('authorization', authorization);
    return found;
  }

  #after(prefix: string): string | undefined {
    return this.#protocols.find((protocol) => protocol.startsWith(prefix))?.slice(prefix.length);
  }
}

/** Returns whether the package `ws` can complete the handshake. */
function isHandshake({ method, headers }: IncomingMessage): boolean {
  const { 'sec-websocket-key': key, 'sec-websocket-version': version } = headers;
  return (
    method === 'GET' &&
    /^[+/0-9A-Za-z]{22}==$/.test(String(key ?? '')) &&
    (version === '13' || version === '8') &&
    headers['sec-websocket-protocol'] !== ''
  );
}

function malformed(): RouterError {
  return new RouterError('invalid_request', 'The WebSocket handshake is malformed.');
}

function noSession(path: string): RouterError {
  const match = matchEndpoint('GET', path);
  const hint = match === undefined ? '' : ' It takes ordinary requests.';
  return new RouterError('not_found', `There is no WebSocket at ${path.slice(0, 256)}.${hint}`);
}

function pathUnder(url: string, depth: number): string {
  const path = url.split('?', 1)[0] ?? '/';
  return `/${path
    .split('/')
    .slice(depth + 1)
    .join('/')}`;
}

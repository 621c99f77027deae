import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Session } from '../../sessions/session.ts';

/** Values that the mounts pass to the gateway with the standard request. All are absent on other runtimes. */
export interface NodeBindings {
  /** Node's own request, with properties that the application attached to it, such as a session. */
  incoming?: IncomingMessage | undefined;
  outgoing?: ServerResponse | undefined;
  /** Whether the response may be written directly to `outgoing`, because no middleware can change it. */
  direct?: boolean | undefined;
  /** Fastify's request, if the request came through Fastify. */
  fastify?: unknown;
  /** Returns whether the server is shutting down and accepts no new work. */
  draining?: (() => boolean) | undefined;
}

/** Event that is emitted on each open response at the end of its server's graceful shutdown. */
export const drainedEvent: unique symbol = Symbol.for('team-model-router.drained');

type Drainable = ServerResponse & { [drainedEvent]?: true };

/** Aborts the call of an open response, even if the call starts later. */
export function endResponse(outgoing: ServerResponse): void {
  (outgoing as Drainable)[drainedEvent] = true;
  outgoing.emit(drainedEvent);
}

export function hasEnded(outgoing: ServerResponse): boolean {
  return (outgoing as Drainable)[drainedEvent] === true;
}

/** Answers one of Node's requests, or returns `undefined` and leaves it unchanged. */
export type FastPath = (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void> | undefined;

/**
 * Key of the fast path on the gateway's own `fetch`. If an application wraps `fetch`, the fast path is disabled
 * so that the wrapper always runs.
 */
const key = Symbol.for('team-model-router.shortcut');

interface Mark {
  /** The `fetch` that the fast path belongs to, because a proxy or a copy has the same properties. */
  fetch: object;
  shortcut: FastPath;
}

export function attachFastPath(fetch: object, shortcut: FastPath): void {
  Object.defineProperty(fetch, key, { value: { fetch, shortcut } satisfies Mark });
}

export function fastPathOf(fetch: object): FastPath | undefined {
  const mark = (fetch as { [key]?: Mark })[key];
  return mark?.fetch === fetch ? mark.shortcut : undefined;
}

/**
 * Answers a request to upgrade.
 *
 * @param mount `depth`: number of segments that the gateway is mounted under. `isAlone`: no other code listens for upgrades.
 * `sessions`: keeps what was opened.
 */
export type UpgradeHandler = (
  incoming: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  mount: { depth: number; isAlone: boolean; sessions: Set<Session> },
) => void;

const upgradeKey = Symbol.for('team-model-router.upgrade');

export function attachUpgrade(fetch: object, upgrade: UpgradeHandler): void {
  Object.defineProperty(fetch, upgradeKey, { value: upgrade });
}

export function upgradeOf(fetch: object): UpgradeHandler | undefined {
  return (fetch as { [upgradeKey]?: UpgradeHandler })[upgradeKey];
}

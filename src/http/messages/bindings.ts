import type { IncomingMessage, ServerResponse } from 'node:http';

/** What the mounts hand to the gateway beside the standard request; all of it is absent on other runtimes. */
export interface NodeBindings {
  /** Node's own request: what an application keeps on it, such as a session, is there. */
  incoming?: IncomingMessage | undefined;
  outgoing?: ServerResponse | undefined;
  /** Whether the answer may be written to `outgoing` at once: there is nobody between who would change it. */
  direct?: boolean | undefined;
  /** Fastify's request, if it came through Fastify. */
  fastify?: unknown;
  /** Whether the server is about to end, and takes no new work. */
  draining?: (() => boolean) | undefined;
}

/** Emitted on each response that is still open when its server's time for open requests is over. */
export const drainedEvent: unique symbol = Symbol.for('team-model-router.drained');

type Drainable = ServerResponse & { [drainedEvent]?: true };

/** Ends the call of an open response, also one that begins only now. */
export function endResponse(outgoing: ServerResponse): void {
  (outgoing as Drainable)[drainedEvent] = true;
  outgoing.emit(drainedEvent);
}

export function hasEnded(outgoing: ServerResponse): boolean {
  return (outgoing as Drainable)[drainedEvent] === true;
}

/** Answers one of Node's requests, or leaves it as it is: `undefined`. */
export type FastPath = (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void> | undefined;

/** On the gateway's own `fetch`: whoever puts another one in its place is asked, and nobody passes him by. */
const key = Symbol.for('team-model-router.shortcut');

interface Mark {
  /** Whose it is: a proxy or a copy has its properties too. */
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

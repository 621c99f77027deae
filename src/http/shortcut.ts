import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answer } from '../calls/answer.ts';
import type { TeamModelRouter } from '../router.ts';
import type { Shortcut } from './bindings.ts';
import { checkCallBody, receive } from './body.ts';
import { callerOf, callRoutes, leaving, noQuery } from './openai.ts';
import { type Credential, permitted } from './permissions.ts';
import { reply } from './reply.ts';
import { type HeaderReader, NodeHeaders } from './request-headers.ts';

export interface ShortcutOptions {
  /** What the gateway's paths stand under. */
  basePath: string | undefined;
  bodyLimit: number;
  credentialOf: (headers: HeaderReader) => Credential | Promise<Credential>;
  failed: (error: unknown) => Answer;
}

/** Bytes of a body from which on the way there is no part of what a call costs. */
const longestBody = 1_048_576;

/**
 * The way of nearly every call: a POST of JSON to a path without parameters, in Node, by a key. A standard request and
 * response, and the search for a route, would be a tenth of what such a call costs. It is answered as any other; whatever
 * is not plainly one of these goes through Hono.
 */
export function makeShortcut(router: TeamModelRouter, options: ShortcutOptions): Shortcut {
  const { basePath = '', credentialOf, failed } = options;
  const limit = Math.min(options.bodyLimit, longestBody);
  const paths = new Map<string | undefined, string>();
  for (const route of callRoutes) {
    if (route.method !== 'POST' || route.permission !== 'calls') continue;
    for (const path of route.paths) if (!path.includes('{')) paths.set(basePath + path, path);
  }

  const answer = async (
    path: string,
    headers: HeaderReader,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ) => {
    const node = { outgoing, direct: true };
    let answered: Answer;
    try {
      const given = credentialOf(headers);
      const credential = permitted(given instanceof Promise ? await given : given, 'calls');
      const body = checkCallBody(await receive(incoming, limit), headers);
      const call = { method: 'POST', path, query: noQuery, headers, body, signal: leaving(outgoing) };
      answered = await router.dispatch(callerOf(credential), call);
    } catch (error) {
      answered = failed(error);
    }
    try {
      await reply(answered, node);
    } catch (error) {
      await reply(failed(error), node);
    }
  };

  return (incoming, outgoing) => {
    const path = incoming.method === 'POST' ? paths.get(incoming.url) : undefined;
    if (path === undefined || wasRead(incoming)) return undefined;
    const headers = new NodeHeaders(incoming);
    if (!isShortJson(headers, limit)) return undefined;
    return answer(path, headers, incoming, outgoing).catch(() => void outgoing.destroy());
  };
}

/** By a body parser of the application's. */
function wasRead(incoming: IncomingMessage): boolean {
  return incoming.readableDidRead || 'rawBody' in incoming || 'body' in incoming;
}

function isShortJson(headers: HeaderReader, limit: number): boolean {
  const length = headers.get('content-length');
  return headers.get('content-type') === 'application/json' && length !== null && Number(length) <= limit;
}

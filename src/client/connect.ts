import { z } from 'zod';
import type { Caller } from '../calls/routing/resolve.ts';
import { RouterError, type RouterErrorCode } from '../errors.ts';
import { defaultName } from '../schemas/names.ts';
import { parseOptions } from '../schemas/parse.ts';
import type { SessionService } from '../sessions/service.ts';
import { teamBaseUrl } from './team-fetch.ts';
import { TeamSocket } from './team-socket.ts';

/**
 * Options of `TeamModelRouter.connect`.
 *
 * @example
 * ```ts
 * const options: ConnectOptions = { path: '/v1/realtime', model: 'my-voice-model' };
 * const socket = router.connect('acme', options);
 * ```
 */
export interface ConnectOptions {
  /** The path of the API, with or without `/v1` and a query: `/v1/realtime`, `/v1/responses`. */
  path: string;
  /** The team's public name of the model. Absent: the first event names it, or the team has one deployment. */
  model?: string | undefined;
}

const connectOptions = z.strictObject({
  path: z.string().regex(/^\/[^\s#]*$/, 'must begin with /'),
  model: defaultName.optional(),
});

/**
 * Opens a session for a caller, in-process.
 *
 * @throws RouterError `invalid_request` that names the option at fault
 */
export function connectSocket(service: SessionService, caller: Caller, options: ConnectOptions): TeamSocket {
  const { path, model } = parseOptions(connectOptions, options);
  const queryStart = path.indexOf('?');
  const query = new URLSearchParams(queryStart === -1 ? '' : path.slice(queryStart + 1));
  if (model !== undefined) query.set('model', model);
  const bare = queryStart === -1 ? path : path.slice(0, queryStart);
  const search = query.size === 0 ? '' : `?${query}`;
  const url = `${teamBaseUrl.replace(/^http/, 'ws').replace(/\/v1$/, '')}${bare}${search}`;
  return new TeamSocket(url, async (signal) => {
    const opened = await service.open(caller, { path: bare, query, headers: new Headers(), signal });
    if ('session' in opened) return opened.session;
    throw errorOf(opened.answer.body);
  });
}

/** Returns the error that an answer's body tells. */
function errorOf(body: unknown): RouterError {
  const fallback = new RouterError('provider_unreachable', 'The session could not be opened.');
  if (!(body instanceof Uint8Array)) return fallback;
  try {
    const { error } = JSON.parse(Buffer.from(body).toString('utf8')) as {
      error: { message: string; code: RouterErrorCode; param: string | null };
    };
    const param = error.param === null ? {} : { param: error.param };
    return new RouterError(error.code, error.message, param);
  } catch {
    return fallback;
  }
}

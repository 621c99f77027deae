import type { ServerResponse } from 'node:http';
import type { Answer } from '../calls/answer.ts';
import { type CallSignal, LightSignal } from '../calls/call-signal.ts';
import { endpoints } from '../calls/endpoints.ts';
import type { Caller } from '../calls/resolve.ts';
import type { TeamModelRouter } from '../router.ts';
import type { NodeBindings } from './bindings.ts';
import { checkCallBody, readCallBody } from './body.ts';
import type { Credential, Permission } from './permissions.ts';
import { headersOf } from './request-headers.ts';

/** Where an OpenAI call answers: with and without `/v1`, and in Azure's form what carries a model. */
export interface CallRoute {
  method: string;
  paths: readonly string[];
  permission: Permission;
  summary: string;
}

/** One call as it came in. */
export interface CallRequest {
  method: string;
  /** Percent-encoded, without what the gateway is mounted under. */
  path: string;
  raw: Request;
  bindings: NodeBindings;
}

export const callRoutes: readonly CallRoute[] = endpoints.map((endpoint) => ({
  method: endpoint.method,
  paths: [
    `/v1${endpoint.path}`,
    endpoint.path,
    ...(endpoint.stateful || endpoint.local ? [] : [`/openai/deployments/{model}${endpoint.path}`]),
  ],
  permission: endpoint.local ? 'names' : 'calls',
  summary: `OpenAI's ${endpoint.id}`,
}));

/** Nearly every call has none. */
export const noQuery = new URLSearchParams();

/** Hands the request to the pipeline as it came; the answer's bytes are the provider's. */
export async function answerCall(
  router: TeamModelRouter,
  credential: Credential,
  { method, path, raw, bindings }: CallRequest,
  bodyLimit: number,
): Promise<Answer> {
  const headers = headersOf(raw, bindings);
  const read = readCallBody(raw, headers, bindings, bodyLimit);
  const body = checkCallBody(read instanceof Promise ? await read : read, headers);
  const { url } = raw;
  const queryStart = url.indexOf('?');
  const query = queryStart === -1 ? noQuery : new URLSearchParams(url.slice(queryStart + 1));
  const { outgoing } = bindings;
  const signal = outgoing === undefined ? raw.signal : leaving(outgoing);
  return await router.dispatch(callerOf(credential), { method, path, query, headers, body, signal });
}

export function callerOf(credential: Credential): Caller {
  if (credential.master) return { teamId: null };
  const { teamId, models } = credential;
  return models === undefined ? { teamId } : { teamId, models };
}

/** Whether it is what `leaving` aborts with: nobody waits for the answer, and nothing has gone wrong. */
export function isLeaving(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** Aborts when the client leaves before it has its answer. */
export function leaving(outgoing: ServerResponse): CallSignal {
  const signal = new LightSignal();
  const left = () => {
    if (!outgoing.writableFinished) signal.abort(new DOMException('The client left.', 'AbortError'));
  };
  // Who has left while the credential was looked up is not waited for.
  if (outgoing.closed || outgoing.destroyed) left();
  else outgoing.on('close', left);
  return signal;
}

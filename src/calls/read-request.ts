import { RouterError } from '../errors.ts';
import { readBody } from './body/read-body.ts';
import type { BodyLimits } from './body/request-body.ts';
import type { Call, ModelRequest } from './call.ts';
import { refusedCall } from './endpoints/match.ts';
import { administrativeCall, findCall, type UnknownCalls } from './endpoints/unknown.ts';

/**
 * Reads a call: its endpoint, the model that it names, and its body.
 *
 * @param body what there is of it once it has been opened
 * @param unknownCalls what is done with a path below `/v1` that the table does not have
 * @throws RouterError `not_found` for a path that is no OpenAI call, `permission_denied` for one that administers an
 * organization, `invalid_request` for a body without a readable top level, `request_too_large`
 */
export async function readRequest(
  call: Call,
  body: Call['body'],
  limits: BodyLimits,
  teamId: string | null,
  unknownCalls: UnknownCalls = 'forward',
): Promise<ModelRequest> {
  const match = findCall(call.method, call.path, unknownCalls);
  if (match === undefined || 'allow' in match) {
    const refused = refusedCall(call.method, call.path) ?? administrativeCall(call.method, call.path);
    if (refused !== undefined) throw refused;
    const hint = match === undefined ? '' : ` It takes ${match.allow.join(', ')}.`;
    throw new RouterError('not_found', `There is no ${call.method} ${call.path.slice(0, 256)}.${hint}`);
  }
  const { endpoint, params, pathModel } = match;
  // Where `model` is a filter of the API, it is no name of the team's.
  const queried = endpoint.query.includes('model') ? null : call.query.get('model');
  const given = queried ?? call.headers.get('x-team-model') ?? undefined;
  const { method, headers, signal, defaultModel, length } = call;
  const context = {
    teamId,
    endpoint,
    method,
    contentType: headers.get('content-type'),
    given,
    pathModel,
    defaultModel,
    length,
  };
  const content = await readBody(body, context, limits, signal);
  const name = pathModel ?? content.model ?? given;
  const isOptional = endpoint.model === 'known' && content.model !== undefined;
  return {
    endpoint,
    params,
    query: call.query,
    model: name ?? call.defaultModel,
    explicitModel: name !== undefined,
    ...(isOptional && {
      otherwise: { model: given ?? call.defaultModel, explicitModel: given !== undefined },
    }),
    body: content,
  };
}

import { RouterError } from '../errors.ts';
import { bodyTooLarge } from './body/body-source.ts';
import { type BodyLimits, emptyContent, isStream, readContent } from './body/buffered-body.ts';
import { readStreamedContent } from './body/streamed-body.ts';
import type { Call, Content, ModelRequest } from './call.ts';
import { matchEndpoint, refusedCall } from './endpoints/match.ts';

/**
 * Reads a call; a promise only if its body is a stream, or long.
 *
 * @param body what there is of it once it has been opened
 * @throws RouterError `not_found` for a path that is no OpenAI call, `invalid_request` for a body without a readable
 * top level, `request_too_large`
 */
export function readRequest(
  call: Call,
  body: Call['body'],
  limits: BodyLimits,
  teamId: string | null,
): ModelRequest | Promise<ModelRequest> {
  const match = matchEndpoint(call.method, call.path);
  if (match === undefined || 'allow' in match) {
    const refused = refusedCall(call.method, call.path);
    if (refused !== undefined) throw refused;
    const hint = match === undefined ? '' : ` It takes ${match.allow.join(', ')}.`;
    throw new RouterError('not_found', `There is no ${call.method} ${call.path.slice(0, 256)}.${hint}`);
  }
  const { endpoint, params, pathModel } = match;
  // Where `model` is a filter of the API, it is no name of the team's.
  const queried = endpoint.query.includes('model') ? null : call.query.get('model');
  const given = queried ?? call.headers.get('x-team-model') ?? undefined;
  const request = (content: Content): ModelRequest => {
    const name = pathModel ?? content.name ?? given;
    const named = name !== undefined;
    return {
      endpoint,
      params,
      query: call.query,
      name: name ?? call.defaultModel,
      explicitModel: named,
      content,
    };
  };
  const { method, headers, signal, defaultModel, length } = call;
  if (body === undefined || method === 'GET') return request(emptyContent(endpoint, method));
  const contentType = headers.get('content-type');
  const envelope = {
    teamId,
    endpoint,
    method,
    contentType,
    given,
    pathModel,
    defaultModel,
    length,
  };
  if (!isStream(body)) {
    const size = typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength;
    if (size > limits.maxBodyBytes) throw bodyTooLarge(limits.maxBodyBytes);
    const content = readContent(body, envelope);
    return content instanceof Promise ? content.then(request) : request(content);
  }
  return readStreamedContent(body, envelope, limits, signal).then(request);
}

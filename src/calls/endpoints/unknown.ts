import { RouterError } from '../../errors.ts';
import type { Endpoint } from './endpoint.ts';
import { type EndpointMatch, matchEndpoint } from './match.ts';

/** What a router does with a path below `/v1` that the table does not have. */
export type UnknownCalls = 'forward' | 'refuse';

const methods: ReadonlySet<string> = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']);

/** First segments of the calls that administer an organization, its projects and its keys. */
const administrative = /^(organizations?|admin|projects?)$/i;

/** First segments of this product's own routes, and of prefixes that clients repeat by mistake. */
const reserved = /^(v\d+|openai|deployments|models?|team|key|model_group|health)$/i;

const maxSegments = 16;
const maxPathLength = 1_024;
/** Segments that are looked up as ids of objects. */
const maxIds = 4;

/** Characters that a segment may have unencoded, and encodings of those that it may not. */
const segmentForm = /^(?:[\w.~!$&'()*+,;=:@-]|%[0-9a-f]{2})+$/i;
/** Encodings of characters that need none: some servers take `%6dodels` for `models`. */
const needless = /%(?:2[de]|3\d|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])/i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern must match control characters
const unsafe = /[/\\?#%\u0000-\u001f\u007f-\u009f\u2028\u2029\s]/;

/** Returns the call of a method and a path as `matchEndpoint`, or one that is forwarded without being known. */
export function findCall(
  method: string,
  path: string,
  unknownCalls: UnknownCalls,
): EndpointMatch | { allow: string[] } | undefined {
  const match = matchEndpoint(method, path);
  if (match !== undefined || unknownCalls === 'refuse' || administrativeCall(method, path) !== undefined)
    return match;
  return unknownCall(method, path);
}

/**
 * Returns whether a call takes a body that is neither JSON nor a form.
 *
 * @param mediaType its content type, without parameters
 */
export function takesRawBody(method: string, path: string, mediaType: string): boolean {
  const match = findCall(method, path, 'forward');
  if (match === undefined || 'allow' in match) return false;
  return match.endpoint.rawBody === '*' || match.endpoint.rawBody === mediaType;
}

/**
 * Returns the call of a path below `/v1` that the table does not have, or `undefined` if the path is not forwarded. It is
 * sent as it was written, to a team's own deployments only.
 */
export function unknownCall(method: string, path: string): EndpointMatch | undefined {
  if (!methods.has(method) || !path.startsWith('/v1/') || path.length > maxPathLength) return undefined;
  const rest = path.slice('/v1'.length);
  const segments = rest.slice(1).split('/');
  const [first = ''] = segments;
  if (segments.length > maxSegments || !/^[\w-]+$/.test(first) || reserved.test(first)) return undefined;
  const ids = segments.map(idIn);
  if (ids.includes(undefined) || isKnown(rest)) return undefined;
  const params = Object.fromEntries(
    ids.slice(1, 1 + maxIds).map((id, index) => [`segment_${index}`, id ?? '']),
  );
  return { endpoint: endpointOf(method as Endpoint['method'], rest), params };
}

/**
 * Returns the error of a call that administers an organization. No model has the key that such a call needs, and a team's
 * key must not reach what the operator of an account decides.
 */
export function administrativeCall(method: string, path: string): RouterError | undefined {
  const below = path.startsWith('/v1/');
  const first = path.slice(below ? '/v1/'.length : 1).split(/[/;]/, 1)[0] ?? '';
  if (!administrative.test(first)) return undefined;
  const reason = 'It administers an organization, for which no model has a key.';
  const shown = `${method.slice(0, 32)} ${path.slice(0, 256)}`;
  return below
    ? new RouterError('permission_denied', `${shown} is not forwarded. ${reason}`)
    : new RouterError('not_found', `There is no ${shown}. ${reason}`);
}

/** Returns whether the table has the path in other letters, for any method. Servers may read both alike. */
function isKnown(path: string): boolean {
  return matchEndpoint('', path.toLowerCase()) !== undefined;
}

function idIn(segment: string): string | undefined {
  if (!segmentForm.test(segment) || needless.test(segment)) return undefined;
  try {
    const value = decodeURIComponent(segment);
    return /^\.{1,2}$/.test(value) || unsafe.test(value) ? undefined : value;
  } catch {
    return undefined;
  }
}

function endpointOf(method: Endpoint['method'], path: string): Endpoint {
  return {
    id: unknownId,
    method,
    path,
    model: 'known',
    modelOptional: true,
    stateful: true,
    local: false,
    streams: 'plain',
    answer: 'any',
    usage: undefined,
    rawBody: '*',
    createsIds: method === 'POST' || method === 'PUT' ? ['id'] : [],
    query: anyQuery,
    azure: 'account',
  };
}

/** The id of every call that the table does not have. */
export const unknownId = 'unknown';

/** All parameters but those that address the router or the provider's version. */
const anyQuery: readonly string[] = ['*'];

import { RouterError } from '../errors.ts';
import { type Endpoint, endpoints } from './endpoint-table.ts';

export { type Endpoint, endpoints } from './endpoint-table.ts';

export type EndpointMatch = {
  endpoint: Endpoint;
  params: Record<string, string>;
  /** The model that the path itself names, as in Azure's form. */
  pathModel?: string;
};

/** Endpoints by the number of their path's segments, which is what nearly always decides. */
const bySegments = new Map<number, { endpoint: Endpoint; segments: string[] }[]>();
for (const endpoint of endpoints) {
  const segments = endpoint.path.slice(1).split('/');
  bySegments.set(segments.length, [...(bySegments.get(segments.length) ?? []), { endpoint, segments }]);
}

/** By method and path, with and without `/v1`: the calls whose path has no parameters, as nearly every one. */
const fixed = new Map<string, Map<string, EndpointMatch>>();
for (const endpoint of endpoints) {
  if (endpoint.path.includes('{')) continue;
  const paths = fixed.get(endpoint.method) ?? new Map<string, EndpointMatch>();
  const match: EndpointMatch = { endpoint, params: Object.freeze({}) };
  fixed.set(endpoint.method, paths.set(endpoint.path, match).set(`/v1${endpoint.path}`, match));
}

/**
 * The endpoint that a request is for, with or without `/v1`, or in Azure's form under
 * `/openai/deployments/{model}`; `allow` names the methods that the path takes instead; `undefined`: no such path.
 */
export function matchEndpoint(method: string, path: string): EndpointMatch | { allow: string[] } | undefined {
  const known = fixed.get(method)?.get(path);
  if (known !== undefined) return known;
  const azure = /^\/openai\/deployments\/([^/]+)(\/.+)$/.exec(path);
  if (azure?.[1] === undefined || azure[2] === undefined) {
    return matchPath(method, path.startsWith('/v1/') ? path.slice(3) : path);
  }
  const pathModel = decodeSegment(azure[1]);
  const match = pathModel === undefined ? undefined : matchPath(method, azure[2]);
  if (match === undefined || 'allow' in match || pathModel === undefined) return match;
  // Only what carries a model can have it in the path.
  return match.endpoint.stateful || match.endpoint.local ? undefined : { ...match, pathModel };
}

/** Returns the error of a call of OpenAI's that means something else here, and says what to do. */
export function refusedCall(method: string, path: string): RouterError | undefined {
  if (method !== 'DELETE' || !/^(\/v1)?\/models\/./.test(path)) return undefined;
  const message =
    "model: cannot be deleted by this call, because the name is the team's and not the provider's. Use deleteModel (over HTTP POST /model/delete).";
  return new RouterError('invalid_request', message, { param: 'model' });
}

function matchPath(method: string, path: string): EndpointMatch | { allow: string[] } | undefined {
  const segments = path.slice(1).split('/');
  const allow: string[] = [];
  for (const candidate of bySegments.get(segments.length) ?? []) {
    const params = bind(candidate.segments, segments);
    if (params === undefined) continue;
    if (candidate.endpoint.method === method) return { endpoint: candidate.endpoint, params };
    allow.push(candidate.endpoint.method);
  }
  return allow.length > 0 ? { allow } : undefined;
}

function bind(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index] ?? '';
    if (!part.startsWith('{')) {
      if (part !== segment) return undefined;
      continue;
    }
    const value = decodeSegment(segment);
    if (value === undefined) return undefined;
    params[part.slice(1, -1)] = value;
  }
  return params;
}

/** `.` and `..` would climb out of the provider's path, however they are written. */
function decodeSegment(segment: string): string | undefined {
  try {
    const value = decodeURIComponent(segment);
    return value === '' || value === '.' || value === '..' ? undefined : value;
  } catch {
    return undefined;
  }
}

/** Whether the body says which model it is for, so that the deployment's own is put in its place. */
export function carriesModel({ model }: Endpoint): boolean {
  return model === 'json' || model === 'json_optional' || model === 'form';
}

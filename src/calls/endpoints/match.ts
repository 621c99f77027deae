import { RouterError } from '../../errors.ts';
import { type Endpoint, endpoints } from './table.ts';

export { type Endpoint, endpoints } from './table.ts';

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

// A path such as `/threads/runs` is no id of a thread.
for (const candidates of bySegments.values())
  candidates.sort((one, other) => parametersOf(one.segments) - parametersOf(other.segments));

/** Calls without path parameters, by method and path, with and without `/v1`. */
const fixed = new Map<string, Map<string, EndpointMatch>>();
for (const endpoint of endpoints) {
  if (endpoint.path.includes('{')) continue;
  const paths = fixed.get(endpoint.method) ?? new Map<string, EndpointMatch>();
  const match: EndpointMatch = { endpoint, params: Object.freeze({}) };
  fixed.set(endpoint.method, paths.set(endpoint.path, match).set(`/v1${endpoint.path}`, match));
}

/** The optional prefix of a call's path: `/v1`, or what Azure's clients send, `/openai` and `/openai/v1`. */
const prefix = /^(?:\/openai)?(?:\/v1)?(?=\/)/;

/** Segments of the longest path. */
const maxSegments = Math.max(...bySegments.keys());

/**
 * Returns the endpoint of a request, with or without a prefix, or in Azure's form under `/deployments/{model}`.
 * `allow` lists the methods that the path takes instead. Returns `undefined` for any other path.
 */
export function matchEndpoint(method: string, path: string): EndpointMatch | { allow: string[] } | undefined {
  const known = fixed.get(method)?.get(path);
  if (known !== undefined) return known;
  const segments = withoutPrefix(path).slice(1).split('/');
  if (segments[0] === 'deployments') return matchDeployment(method, segments.slice(1));
  return matchModel(method, segments) ?? matchSegments(method, segments);
}

/**
 * Returns the error of a call of OpenAI's that means something else here.
 *
 * @param mayManage whether the caller can delete models, so that the error says how
 */
export function refusedCall(method: string, path: string, mayManage = true): RouterError | undefined {
  if (method !== 'DELETE' || !/^\/models\/./.test(withoutPrefix(path))) return undefined;
  const advice = " Delete the team's model instead (over HTTP by POST /model/delete).";
  const message = `model: cannot be deleted by this call, because the name is the team's and not the provider's.${mayManage ? advice : ''}`;
  return new RouterError('invalid_request', message, { param: 'model' });
}

function parametersOf(segments: readonly string[]): number {
  return segments.filter((segment) => segment.startsWith('{')).length;
}

function withoutPrefix(path: string): string {
  return path.replace(prefix, '');
}

/**
 * Matches what follows `/deployments/`. A slash in the model's name may be written as it is, as some clients do. The
 * shortest name that leaves the path of a call wins, so a name such as `org/chat` has to be encoded before `/completions`.
 */
function matchDeployment(
  method: string,
  segments: readonly string[],
): EndpointMatch | { allow: string[] } | undefined {
  let other: { allow: string[] } | undefined;
  for (let size = Math.min(maxSegments, segments.length - 1); size > 0; size--) {
    const match = matchSegments(method, segments.slice(-size), mayNameDeployment);
    const pathModel = match && decodeName(segments.slice(0, -size));
    if (pathModel === undefined || match === undefined) continue;
    if (!('allow' in match)) return { ...match, pathModel };
    other ??= match;
  }
  return other;
}

/** Matches `/models/{model}` if the model's name has a slash that is not encoded. */
function matchModel(
  method: string,
  [first, ...rest]: readonly string[],
): EndpointMatch | { allow: string[] } | undefined {
  if (first !== 'models' || rest.length < 2) return undefined;
  const model = decodeName(rest);
  const match = model === undefined ? undefined : matchSegments(method, [first, 'any']);
  if (match === undefined || model === undefined || 'allow' in match) return match;
  return { ...match, params: { model } };
}

function matchSegments(
  method: string,
  segments: readonly string[],
  counts: (endpoint: Endpoint) => boolean = () => true,
): EndpointMatch | { allow: string[] } | undefined {
  const allow: string[] = [];
  for (const candidate of bySegments.get(segments.length) ?? []) {
    if (!counts(candidate.endpoint)) continue;
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

/** A model's name, whose slashes may be encoded or not. Rejects one that a server could take for a path that climbs. */
function decodeName(segments: readonly string[]): string | undefined {
  const parts: string[] = [];
  for (const segment of segments) {
    const part = decodeSegment(segment);
    if (part === undefined) return undefined;
    parts.push(part);
  }
  const name = parts.join('/');
  return /(^|[/\\])\.\.?([/\\]|$)/.test(name) ? undefined : name;
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

/** Returns whether a path may name the model. Azure's clients write it into the path of a batch too. */
function mayNameDeployment({ id, stateful, local }: Endpoint): boolean {
  return (!stateful && !local) || id === 'batches.create';
}

/** Whether the body says which model it is for, so that the deployment's own is put in its place. */
export function carriesModel({ model }: Endpoint): boolean {
  return model === 'json' || model === 'json_optional' || model === 'form' || model === 'known';
}

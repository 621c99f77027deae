import type { Endpoint } from '../calls/endpoints/match.ts';

/** A path that opens a WebSocket. */
export interface SessionPath {
  endpoint: Endpoint;
  /** Whether the first event names the model, if neither the query nor a header does. */
  lateModel: boolean;
}

export interface SessionMatch extends SessionPath {
  params: Record<string, string>;
  /** The model that the path names, in Azure's form. */
  pathModel?: string;
}

type Row = [id: string, path: string, traits?: { query?: string; lateModel?: true }];

const rows: readonly Row[] = [
  ['realtime.connect', '/realtime', { query: 'model deployment intent call_id' }],
  ['realtime.translations.connect', '/realtime/translations', { query: 'model deployment' }],
  ['responses.connect', '/responses', { query: 'beta', lateModel: true }],
  ['live.connect', '/live/sessions', { lateModel: true }],
  ['live.sideband.connect', '/live/sessions/{session_id}/attach'],
  ['live.forks.connect', '/live/sessions/{session_id}/fork'],
];

/** Every path of OpenAI's API that opens a WebSocket. */
export const sessionPaths: readonly SessionPath[] = rows.map(([id, path, { query, lateModel } = {}]) => ({
  lateModel: lateModel ?? false,
  endpoint: {
    id,
    method: 'GET',
    path,
    model: 'none',
    modelOptional: false,
    // A session may read and leave objects in the provider's account.
    stateful: true,
    local: false,
    streams: undefined,
    answer: 'json',
    usage: undefined,
    createsIds: [],
    query: query?.split(' ') ?? [],
    azure: 'account',
  },
}));

/** `/v1`, or what Azure's clients send. */
const prefix = /^(?:\/openai)?(?:\/v1)?(?=\/)/;

/** Returns the session path of a request; `undefined` for any other path. @param path percent-encoded */
export function matchSession(path: string): SessionMatch | undefined {
  let segments = path.replace(prefix, '').split('/').slice(1);
  if (segments.at(-1) === '') segments = segments.slice(0, -1);
  const [first, named] = segments;
  const pathModel = first === 'deployments' ? decode(named) : undefined;
  if (first === 'deployments') {
    if (pathModel === undefined) return undefined;
    segments = segments.slice(2);
  }
  for (const row of sessionPaths) {
    const params = bind(row.endpoint.path.slice(1).split('/'), segments);
    if (params !== undefined) return { ...row, params, ...(pathModel === undefined ? {} : { pathModel }) };
  }
  return undefined;
}

function bind(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index];
    if (part === segment) continue;
    const value = part.startsWith('{') ? decode(segment) : undefined;
    if (value === undefined) return undefined;
    params[part.slice(1, -1)] = value;
  }
  return params;
}

/** `.` and `..` would climb out of the provider's path, however they are written. */
function decode(segment: string | undefined): string | undefined {
  try {
    const value = decodeURIComponent(segment ?? '');
    return /^\.{0,2}$/.test(value) ? undefined : value;
  } catch {
    return undefined;
  }
}

import { RouterError } from '../errors.ts';
import type { Deployment } from '../teams/deployment.ts';
import { asBuffer } from './answer.ts';
import { type Endpoint, matchEndpoint, statefulReason } from './endpoints.ts';
import { readFormModel } from './form-body.ts';
import { type BodyScan, mergeExtra, replaceModel, scanBody } from './json-body.ts';

/** One call as it comes in, from a fetch or from a socket. */
export interface Call {
  method: string;
  /** The path without its query, with or without `/v1`. */
  path: string;
  query: URLSearchParams;
  headers: { get(name: string): string | null };
  body?: string | Uint8Array;
  signal?: AbortSignal;
  /** The model of a call that names none. */
  defaultModel?: string;
  /** How many attempts may follow the first one. */
  numRetries?: number;
  /** Milliseconds until the first byte of the answer. */
  timeoutMs?: number;
}

/** A call understood: which endpoint, which model it names, and how its body reads for a deployment. */
export interface ModelRequest {
  endpoint: Endpoint;
  params: Record<string, string>;
  query: URLSearchParams;
  /** The name that the call carries, by whatever door; `undefined` if none. */
  name: string | undefined;
  stream: boolean;
  contentType: string | null;
  /** Why a shared deployment may not serve it: the answer would stay in the operator's account. */
  stateful: () => string | undefined;
  bodyFor: (deployment: Deployment) => string | Uint8Array | undefined;
}

/** @throws RouterError `not_found` for a path that is no OpenAI call, `invalid_request` for a body without a readable top level */
export function readRequest(call: Call): ModelRequest {
  const match = matchEndpoint(call.method, call.path);
  if (match === undefined || 'allow' in match) {
    const hint = match === undefined ? '' : ` It takes ${match.allow.join(', ')}.`;
    throw new RouterError('not_found', `There is no ${call.method} ${call.path.slice(0, 256)}.${hint}`);
  }
  const { endpoint, params, pathModel } = match;
  const content = readBody(call, endpoint);
  const named = content.name ?? call.query.get('model') ?? call.headers.get('x-team-model') ?? undefined;
  return {
    endpoint,
    params,
    query: call.query,
    name: pathModel ?? named ?? call.defaultModel,
    stream: content.stream,
    contentType: content.contentType,
    stateful: content.stateful,
    bodyFor: content.bodyFor,
  };
}

type Content = Pick<ModelRequest, 'name' | 'stream' | 'contentType' | 'stateful' | 'bodyFor'>;

function readBody(call: Call, endpoint: Endpoint): Content {
  const contentType = call.headers.get('content-type');
  if (call.body === undefined || call.body.length === 0 || call.method === 'GET') {
    return noContent(endpoint, call.method === 'POST' && endpoint.model === 'json');
  }
  if (contentType?.toLowerCase().startsWith('multipart/form-data')) {
    return formContent(call.body, contentType, endpoint);
  }
  return jsonContent(typeof call.body === 'string' ? call.body : decode(call.body), endpoint);
}

function noContent(endpoint: Endpoint, needed: boolean): Content {
  if (needed) throw new RouterError('invalid_request', 'This call needs a JSON body.');
  const stateful = () => statefulReason(endpoint, '', undefined);
  return { name: undefined, stream: false, contentType: null, stateful, bodyFor: () => undefined };
}

function formContent(body: string | Uint8Array, contentType: string, endpoint: Endpoint): Content {
  const form = readFormModel(typeof body === 'string' ? Buffer.from(body) : body, contentType);
  return {
    name: form.model,
    stream: false,
    contentType,
    stateful: () => statefulReason(endpoint, '', undefined),
    bodyFor: (deployment) => form.replace(deployment.target.model),
  };
}

function jsonContent(text: string, endpoint: Endpoint): Content {
  const scan = scanBody(text);
  const ownModel = endpoint.model === 'provider';
  return {
    // A fine-tuning job names the provider's base model, not one of the team's.
    name: ownModel ? undefined : scan.model?.value,
    stream: scan.stream === true,
    contentType: 'application/json',
    stateful: () => readStateful(endpoint, text, scan),
    bodyFor: (deployment) => jsonFor(deployment, text, scan, ownModel, endpoint),
  };
}

function jsonFor(
  deployment: Deployment,
  text: string,
  scan: BodyScan,
  ownModel: boolean,
  endpoint: Endpoint,
): string {
  const extra = deployment.params.extra_body;
  const carriesModel =
    !ownModel &&
    (endpoint.model === 'json' || endpoint.model === 'json_optional' || endpoint.model === 'form');
  if (!carriesModel) return text;
  if (scan.model !== undefined) {
    const replaced = replaceModel(text, scan, deployment.target.model);
    // What is added goes in front of everything else, so the positions of the scan still hold.
    return extra === undefined ? replaced : mergeExtra(replaced, scan, extra);
  }
  return mergeExtra(text, scan, { model: deployment.target.model, ...extra });
}

function readStateful(endpoint: Endpoint, text: string, scan: BodyScan): string | undefined {
  try {
    return statefulReason(endpoint, text, scan);
  } catch {
    throw new RouterError('invalid_request', 'The body is not valid JSON.');
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(body: Uint8Array): string {
  try {
    return utf8.decode(asBuffer(body));
  } catch {
    throw new RouterError('invalid_request', 'The body is not UTF-8.');
  }
}

import { createHash } from 'node:crypto';
import type {
  OutgoingBody,
  SocketRequest,
  SocketResponse,
  Transport,
  TransportResponse,
} from '../../egress/transport.ts';
import { addressOf, authHeaders } from '../../providers/provider.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { Secrets } from '../../teams/records/sealed-secrets.ts';
import type { Cancel } from '../abort/cancel.ts';
import type { Call, ModelRequest } from '../call.ts';
import type { Credentials, Signed, SignedResponse } from './credentials.ts';

/** Transports: for the teams' deployments, and for the operator's shared ones. */
export interface Transports {
  team: Transport;
  shared: Transport;
}

const defaultIdleSeconds = 120;

/** Headers of the caller that are forwarded to the provider. All others are omitted. */
const passedHeaders = ['accept', 'openai-beta', 'idempotency-key'] as const;

/** Headers of the caller that are forwarded with a WebSocket handshake. */
const socketHeaders = ['openai-beta'] as const;

/** A call as it is sent: to any deployment of its pool, on behalf of one team. */
export interface OutgoingCall {
  call: Call;
  request: ModelRequest;
  /** The caller's team; `null`: the operator. */
  teamId: string | null;
}

/** Sends a call to one deployment, signed with the deployment's current secret. */
export function send(
  { transports, credentials }: { transports: Transports; credentials: Credentials },
  deployment: Deployment,
  outgoing: OutgoingCall,
  cancel: Cancel,
): Promise<SignedResponse> {
  const transport = deployment.teamId === null ? transports.shared : transports.team;
  return credentials.use(
    deployment,
    (secrets) => sendWith(transport, secrets, deployment, outgoing, cancel),
    outgoing.request.body,
    cancel,
  );
}

/** The only place where a secret becomes a header of a call; a test call (`test-connection.ts`) asks for the same headers. */
function sendWith(
  transport: Transport,
  secrets: Secrets,
  deployment: Deployment,
  { call, request, teamId }: OutgoingCall,
  cancel: Cancel,
): Promise<TransportResponse> {
  const { target } = deployment;
  const { body: content } = request;
  const headers = unsignedHeaders(call, passedHeaders);
  const once = headers['idempotency-key'];
  if (once !== undefined && deployment.teamId === null) headers['idempotency-key'] = boundTo(teamId, once);
  if (content.contentType !== null) headers['content-type'] = content.contentType;
  sign(headers, secrets, deployment);
  const length = content.lengthFor(deployment);
  if (length !== undefined) headers['content-length'] = String(length);
  const body = content.bytesFor(deployment);
  return transport.request({
    method: call.method,
    url: addressOf(target, request.endpoint, request.params, request.query).url,
    headers,
    // A JSON body was read whole, so its length is known.
    body:
      call.chunked && content.contentType !== 'application/json' && body !== undefined
        ? inChunks(body)
        : body,
    signal: cancel,
    team: teamId,
    queue: cancel,
    // `cancel` keeps the time: undici's own begins only when a connection is free.
    headersTimeoutMs: 0,
    bodyTimeoutMs: idleMs(deployment, call.streamTimeoutMs),
  });
}

/** Opens a WebSocket to one deployment, signed with the deployment's current secret. */
export function openSocket(
  { transports, credentials }: { transports: Transports; credentials: Credentials },
  deployment: Deployment,
  { call, request, teamId }: OutgoingCall,
  cancel: Cancel,
  limits: Pick<SocketRequest, 'headersTimeoutMs' | 'maxMessageBytes'>,
): Promise<Signed<SocketResponse>> {
  const transport = deployment.teamId === null ? transports.shared : transports.team;
  const { target } = deployment;
  const open = (secrets: Secrets) => {
    const headers = unsignedHeaders(call, socketHeaders);
    sign(headers, secrets, deployment);
    return transport.openSocket({
      url: addressOf(target, request.endpoint, request.params, request.query).url,
      headers,
      signal: cancel,
      team: teamId,
      queue: cancel,
      ...limits,
    });
  };
  return credentials.use(deployment, open, undefined, cancel);
}

function unsignedHeaders({ headers }: Call, passed: readonly string[]): Record<string, string> {
  const found: Record<string, string> = { 'user-agent': 'team-model-router' };
  for (const name of passed) {
    const value = headers.get(name);
    if (value !== null) found[name] = value;
  }
  return found;
}

/** Adds the headers with the deployment's secrets. */
function sign(headers: Record<string, string>, secrets: Secrets, { target, params }: Deployment): void {
  for (const [name, value] of secrets.headers) headers[name] = value;
  Object.assign(headers, authHeaders(target, secrets, params));
}

/** A body without a length. */
async function* inChunks(body: OutgoingBody): AsyncGenerator<Uint8Array> {
  if (typeof body === 'string') yield Buffer.from(body);
  else if (body instanceof Uint8Array) yield body;
  else yield* body;
}

/** Two teams that choose the same key must not get one another's answer from the operator's account. */
function boundTo(teamId: string | null, key: string): string {
  return createHash('sha256')
    .update(JSON.stringify([teamId, key]))
    .digest('hex');
}

/** A call may shorten what its deployment allows, and lengthen only the default of a team's own. */
function idleMs({ params, teamId }: Deployment, asked: number | undefined): number {
  const own = (params.stream_timeout ?? defaultIdleSeconds) * 1000;
  if (asked === undefined) return own;
  return teamId === null || params.stream_timeout !== undefined ? Math.min(asked, own) : asked;
}

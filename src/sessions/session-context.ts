import type { Cancel } from '../calls/abort/cancel.ts';
import { CallContext, type CallContextOptions } from '../calls/call-context.ts';
import type { BodyEnd, CallResult } from '../calls/response/relay.ts';
import type { Signed, SignedResponse } from '../calls/upstream/credentials.ts';
import type { OutgoingCall } from '../calls/upstream/send.ts';
import type { SocketResponse } from '../egress/transport.ts';
import { RouterError } from '../errors.ts';
import type { Deployment } from '../teams/records/deployment.ts';
import type { SocketEnd } from './socket-end.ts';

/** Opens a WebSocket to one deployment. */
export type OpenSocket = (
  deployment: Deployment,
  call: OutgoingCall,
  cancel: Cancel,
) => Promise<Signed<SocketResponse>>;

/** A session as one call: its attempts open a socket, and the call lasts until the session has ended. */
export class SessionContext extends CallContext {
  /** The provider's socket, once an attempt has opened it. */
  socket: SocketEnd | undefined;
  /** The tokens that were sent in the place of a stored secret. */
  tokens: readonly string[] | undefined;
  /** Reports the end of the session, and frees what it used. */
  finish: ((end: BodyEnd) => void) | undefined;
  readonly #open: OpenSocket;
  readonly #options: CallContextOptions;

  constructor(options: CallContextOptions, open: OpenSocket) {
    super(options);
    this.#options = options;
    this.#open = open;
  }

  /** A session is never moved to another model, because the client has chosen what it speaks to. */
  override get mayFallBack(): boolean {
    return false;
  }

  override async send(deployment: Deployment, cancel: Cancel): Promise<SignedResponse> {
    const { call, request } = this.#options;
    const query = queryFor(deployment, this.request.query);
    const outgoing = { call, request: { ...request, query }, teamId: this.teamId };
    const response = await this.#open(deployment, outgoing, cancel);
    this.socket = response.socket;
    this.tokens = response.tokens;
    if (response.socket === undefined && response.status < 400) {
      response.body.destroy();
      const message = 'The provider answered without opening a WebSocket. Check the api_base of the model.';
      throw new RouterError('provider_unreachable', message);
    }
    return response;
  }

  override receive(
    deployment: Deployment,
    response: SignedResponse,
    cancel: Cancel,
    ended: (end: BodyEnd) => void,
  ): CallResult | Promise<CallResult> {
    if (this.socket === undefined) return super.receive(deployment, response, cancel, ended);
    this.finish = ended;
    const answer = { status: 101, headers: {}, body: null };
    return { answer, status: 101, retryAfterMs: undefined, open: true };
  }
}

/** Names the provider's model in the query. It is sent where the path takes one. */
function queryFor({ target }: Deployment, given: URLSearchParams): URLSearchParams {
  const query = new URLSearchParams(given);
  query.delete('model');
  query.delete('deployment');
  // An existing call and a transcription name no model in the URL.
  if (given.has('call_id') || given.has('intent')) return query;
  query.set(target.protocol === 'azure' ? 'deployment' : 'model', target.model);
  return query;
}

import type { Socket } from 'node:net';
import { type Dispatcher, WebSocket } from 'undici';
import { RouterError } from '../../errors.ts';
import { ResponseBody } from '../response-body.ts';
import { type CancelSignal, ResponseHandler, type TransportResponse } from '../response-handler.ts';
import { gateInput, ProviderSocket } from './provider-socket.ts';

/** The response to a handshake: an open socket under status 101, or what the provider answered instead. */
export interface SocketResponse extends TransportResponse {
  socket?: ProviderSocket;
}

type Controller = Dispatcher.DispatchController;
type Send = (headers: Record<string, string>, handler: ResponseHandler) => void;

/** Headers of undici's handshake that are sent. Extensions are not, so that no message is compressed. */
const handshakeHeaders = ['sec-websocket-key', 'sec-websocket-version'];

/**
 * Opens a WebSocket over the transport. undici's `WebSocket` speaks the protocol. Its dispatcher sends the handshake to the
 * deployment's address with the deployment's headers, and undici sees neither of them.
 *
 * @param send sends the handshake, with these headers added
 */
export function openWebSocket(handshake: SocketHandshake, send: Send): Promise<SocketResponse> {
  const dispatcher = {
    webSocketOptions: { maxPayloadSize: handshake.maxMessageBytes, maxFragments: maxFragments },
    dispatch({ headers }: Dispatcher.DispatchOptions, inner: Dispatcher.DispatchHandler): boolean {
      handshake.inner = inner;
      try {
        send(pick(headers), handshake);
      } catch (error) {
        handshake.refuse(error);
      }
      return true;
    },
  };
  const webSocket = new WebSocket('wss://provider.invalid', {
    dispatcher: dispatcher as unknown as Dispatcher,
  });
  const opened = new Promise<SocketResponse>((resolve, reject) => {
    webSocket.addEventListener('open', () => resolve(handshake.opened(webSocket)));
    webSocket.addEventListener('error', () => {
      if (handshake.socket === undefined) return;
      handshake.socket.destroy();
      const message = 'The provider answered the WebSocket handshake with invalid headers.';
      reject(new RouterError('provider_unreachable', message));
    });
  });
  return Promise.race([opened, handshake.response]);
}

/** Fragments of one message. */
const maxFragments = 65_536;

function pick(headers: unknown): Record<string, string> {
  const all = headers as Record<string, string>;
  const found = Object.entries(all).filter(([name]) => handshakeHeaders.includes(name.toLowerCase()));
  return Object.fromEntries(found);
}

/** Receives the response to a handshake. */
export class SocketHandshake extends ResponseHandler {
  readonly maxMessageBytes: number;
  /** undici's own handler, which takes the socket. */
  inner: Dispatcher.DispatchHandler | undefined;
  socket: Socket | undefined;
  #gate: ReturnType<typeof gateInput> | undefined;
  #headers: TransportResponse['headers'] = {};
  #controller: Controller | undefined;

  constructor(signal: CancelSignal | undefined, maxDecodedBytes: number, maxMessageBytes: number) {
    super(signal, maxDecodedBytes);
    this.maxMessageBytes = maxMessageBytes;
    // `openWebSocket` awaits it together with the open socket.
    this.response.catch(() => {});
  }

  override refuse(error: unknown): void {
    super.refuse(error);
    this.#settleInner();
  }

  override onRequestStart(controller: Controller): void {
    super.onRequestStart(controller);
    this.inner?.onConnect?.((error?: Error) => controller.abort(error ?? new Error('aborted')));
  }

  onRequestUpgrade(
    controller: Controller,
    status: number,
    headers: TransportResponse['headers'],
    duplex: unknown,
  ): void {
    const socket = duplex as Socket;
    const release = this.takeOver();
    this.socket = socket;
    this.#controller = controller;
    this.#headers = headers;
    this.#gate = gateInput(socket);
    socket.on('error', () => {});
    socket.once('close', release);
    // undici compares the whole value with "upgrade", and proxies add tokens to it.
    const tokens = String(headers.connection ?? '').toLowerCase();
    const connection = /(^|,)\s*upgrade\s*(,|$)/.test(tokens) ? { connection: 'upgrade' } : {};
    this.inner?.onRequestUpgrade?.(controller, status, { ...headers, ...connection }, socket);
  }

  /** @internal */
  opened(webSocket: WebSocket): SocketResponse {
    const { socket } = this;
    const gate = this.#gate;
    const controller = this.#controller;
    if (socket === undefined || gate === undefined || controller === undefined)
      throw new TypeError('A WebSocket without a socket.');
    const body = new ResponseBody(controller);
    body.end();
    return { status: 101, headers: this.#headers, body, socket: new ProviderSocket(webSocket, socket, gate) };
  }

  override onResponseStart(controller: Controller, status: number, headers: TransportResponse['headers']) {
    super.onResponseStart(controller, status, headers);
    if (status >= 200) this.#settleInner();
  }

  override onResponseError(controller: Controller, error: Error): void {
    super.onResponseError(controller, error);
    this.#settleInner();
  }

  /** undici's WebSocket ends. Its own error says nothing of the response, so it is not read. */
  #settleInner(): void {
    const { inner } = this;
    this.inner = undefined;
    inner?.onError?.(new Error('no WebSocket'));
  }
}

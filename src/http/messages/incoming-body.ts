import type { IncomingMessage } from 'node:http';
import { BodyBuffer } from '../../calls/body/body-buffer.ts';
import { RouterError } from '../../errors.ts';
import type { MemoryReservation } from '../../memory-budget.ts';
import { TickBatch } from '../../tick-batch.ts';
import type { StallWatch } from './stall-watch.ts';

/** Limits for reading a body. */
export interface BodyReading {
  /** Maximum bytes of the body. */
  limit: number;
  /** Memory reservation for the held bytes. */
  reservation: MemoryReservation;
  /** Ends the reading of a stalled body. */
  stalls: StallWatch;
}

/** Error of a client that stopped sending in the middle of its body. */
export class RequestTimeout extends RouterError {
  override readonly status: number = 408;

  constructor() {
    super('invalid_request', 'The request body stalled. Send the whole body without a pause.');
  }
}

export function bodyTooLong(limit: number): RouterError {
  return new RouterError('request_too_large', `The body exceeds ${limit} bytes. Send a smaller body.`);
}

export function bodyBrokeOff(): RouterError {
  return new RouterError('invalid_request', 'The request body broke off. Send the whole body.');
}

/** Key of the function that asks a client which waits for `100 Continue` to send its body. */
const continueKey = Symbol('team-model-router.continue');
type Waiting = { [continueKey]?: (() => void) | undefined };

/** Registers `go`, which is called when the body of a request is about to be read. */
export function beforeReading(incoming: IncomingMessage, go: () => void): void {
  (incoming as Waiting)[continueKey] = go;
}

/** Notifies a client that waits for `100 Continue` that its body is being read. */
export function askForBody(incoming: IncomingMessage): void {
  const go = (incoming as Waiting)[continueKey];
  if (go === undefined) return;
  (incoming as Waiting)[continueKey] = undefined;
  go();
}

/** Requests whose bodies arrived in the same tick. */
const requests = new TickBatch();

/**
 * Reads the whole body of Node's request. Uses events, because an async iteration takes four times as long.
 *
 * @throws RouterError `request_too_large`, `rate_limit_exceeded`, `overloaded`; `invalid_request` if the body
 * breaks off or stalls
 */
export function receive(incoming: IncomingMessage, reading: BodyReading): Promise<Uint8Array> {
  const { limit, reservation, stalls } = reading;
  return new Promise((resolve, reject) => {
    const buffer = new BodyBuffer(reservation, lengthOf(incoming));
    const refuse = (error: unknown) => {
      watched.stop();
      incoming.off('data', onData);
      incoming.pause();
      reject(error);
    };
    const watched = stalls.watch(() => refuse(new RequestTimeout()));
    const onData = (given: Buffer | string) => {
      watched.touch();
      // A string if other code has set an encoding.
      const chunk =
        typeof given === 'string' ? Buffer.from(given, incoming.readableEncoding ?? 'utf8') : given;
      if (buffer.size + chunk.length > limit) {
        refuse(bodyTooLong(limit));
        return;
      }
      try {
        buffer.push(chunk);
      } catch (error) {
        refuse(error);
      }
    };
    let whole = false;
    const onEnd = () => {
      whole = true;
      watched.stop();
      const bytes = buffer.whole();
      requests.schedule(() => resolve(bytes));
    };
    const onClose = () => {
      watched.stop();
      if (!whole) reject(bodyBrokeOff());
    };
    // A request that has already ended emits no event.
    if (incoming.destroyed) onClose();
    else {
      askForBody(incoming);
      // Other code may have paused the request.
      incoming.on('data', onData).on('end', onEnd).on('close', onClose).resume();
    }
  });
}

/** Returns the announced length of the body, if any. */
function lengthOf({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length'];
  return length === undefined ? undefined : Number(length);
}

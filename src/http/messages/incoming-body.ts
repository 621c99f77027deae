import type { IncomingMessage } from 'node:http';
import { BodyBuffer } from '../../calls/body/body-buffer.ts';
import { RouterError } from '../../errors.ts';
import type { MemoryReservation } from '../../memory-budget.ts';
import { TickBatch } from '../../tick-batch.ts';
import type { StallWatch } from './stall-watch.ts';

/** What bounds the reading of a body. */
export interface BodyReading {
  /** Bytes that the body may have. */
  limit: number;
  /** What the bytes that are held are counted in. */
  reservation: MemoryReservation;
  /** Ends the reading of a body whose bytes stop. */
  stalls: StallWatch;
}

/** The client stopped sending in the middle of its body. */
export class RequestTimeout extends RouterError {
  override readonly status: number = 408;

  constructor() {
    super('invalid_request', 'The body of the request stopped. Send the whole body without a pause.');
  }
}

export function bodyTooLong(limit: number): RouterError {
  return new RouterError('request_too_large', `The body may have ${limit} bytes at most.`);
}

export function bodyBrokeOff(): RouterError {
  return new RouterError('invalid_request', 'The body of the request broke off.');
}

/** What has the client that waits for `100 Continue` send its body. */
const continueKey = Symbol('team-model-router.continue');
type Waiting = { [continueKey]?: (() => void) | undefined };

/** Has `go` called when the body of a request is about to be read. */
export function beforeReading(incoming: IncomingMessage, go: () => void): void {
  (incoming as Waiting)[continueKey] = go;
}

/** Tells the client that its body is read from here on, if it waits for that. */
export function askForBody(incoming: IncomingMessage): void {
  const go = (incoming as Waiting)[continueKey];
  if (go === undefined) return;
  (incoming as Waiting)[continueKey] = undefined;
  go();
}

/** Those whose bodies came in together. */
const requests = new TickBatch();

/**
 * Reads the body of Node's request whole. By events, because an async iteration of the same takes four times as long.
 *
 * @throws RouterError `request_too_large`, `rate_limit_exceeded`, `overloaded`; `invalid_request` if it breaks off or stops
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
      // Text, if somebody before had it decoded.
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
    // No event tells of what has ended already.
    if (incoming.destroyed) onClose();
    else {
      askForBody(incoming);
      // Somebody before may have paused it.
      incoming.on('data', onData).on('end', onEnd).on('close', onClose).resume();
    }
  });
}

/** The bytes that the request announces, if it does. */
function lengthOf({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length'];
  return length === undefined ? undefined : Number(length);
}

import { RouterError } from '../../errors.ts';
import type { MemoryReservation } from '../../memory-budget.ts';
import { teamBlocked } from '../../teams/team-blocked.ts';
import { PieceTurns } from '../../tick-batch.ts';
import type { CallSignal } from '../abort/call-signal.ts';
import { untilAborted } from '../abort/until-aborted.ts';
import { BodyBuffer } from '../body/body-buffer.ts';
import { bodyTooLarge } from '../body/body-source.ts';
import { checkEncoding } from '../body/content-encoding.ts';
import { isStream } from '../body/read-body.ts';
import type { BodyLimits } from '../body/request-body.ts';
import type { Call } from '../call.ts';
import { carriesModel, type Endpoint } from '../endpoints/match.ts';
import { findCall, type UnknownCalls } from '../endpoints/unknown.ts';
import { isForm } from '../form/content-type.ts';
import {
  type Caller,
  checkUnrestricted,
  mayCallAny,
  resolve,
  resolveOnly,
  type VisibleModels,
} from './resolve.ts';

/** The body of a call, read as far as it has to be before the call is understood. */
export interface OpenedBody {
  body: Call['body'];
  /** From here on a form passes through, and what arrives of it is not held. */
  understood(): void;
}

/** Whether the body of a call is still to be read. */
export function isUnread({ body, readBody }: Call): boolean {
  return readBody !== undefined || (body !== undefined && isStream(body));
}

/**
 * Refuses a call whose body, whatever it says, could not make it admissible: the team is blocked, the caller may call no
 * model at all, or the path, the query or a header names a model that it may not call.
 *
 * @throws RouterError `team_blocked`, `model_not_found`, `invalid_request`
 */
export function refuseUnread(
  models: VisibleModels,
  caller: Caller,
  call: Call,
  unknownCalls: UnknownCalls = 'forward',
): void {
  if (models.team?.blocked) throw teamBlocked();
  const match = findCall(call.method, call.path, unknownCalls);
  if (match === undefined || 'allow' in match || match.endpoint.local) return;
  const { endpoint, pathModel } = match;
  checkUnrestricted(caller, endpoint);
  const name = pathModel ?? (bodyDecides(endpoint, call) ? undefined : nameBeside(call));
  if (name !== undefined) resolve(models, caller, name);
  else if (mayCallAny(models, caller)) return;
  else if (carriesModel(endpoint)) {
    throw new RouterError('model_not_found', 'This caller may not call any model.', { param: 'model' });
  } else resolveOnly(models, caller);
}

/** Whether the name in the body takes precedence over the other name. */
function bodyDecides(endpoint: Endpoint, { headers }: Call): boolean {
  return carriesModel(endpoint) && !isForm(headers.get('content-type'));
}

function nameBeside({ query, headers }: Call): string | undefined {
  return query.get('model') ?? headers.get('x-team-model') ?? undefined;
}

/** Bytes that a body may have: a form passes through, anything else is held whole. */
function bodyLimit(call: Call, limits: BodyLimits): number {
  const { maxBodyBytes, maxJsonBytes } = limits;
  return isForm(call.headers.get('content-type')) ? maxBodyBytes : Math.min(maxJsonBytes, maxBodyBytes);
}

/**
 * Reads the body of a call whose caller is admitted, and counts what is held of it.
 *
 * @throws RouterError `request_too_large`, `rate_limit_exceeded`, `overloaded`; `invalid_request` with status 415 if it is
 * compressed; the signal's reason if it aborts
 */
export async function openBody(
  call: Call,
  limits: BodyLimits,
  reservation: MemoryReservation,
  teamId: string | null,
): Promise<OpenedBody> {
  const { body, readBody, signal } = call;
  if (body !== undefined || readBody !== undefined) checkEncoding(call.headers);
  const limit = bodyLimit(call, limits);
  if (readBody !== undefined) return opened(await readBody(limit, reservation), reservation);
  if (body === undefined) return opened(undefined, reservation);
  if (!isStream(body)) {
    reservation.hold(sizeOf(body, limit));
    return opened(body, reservation);
  }
  if (isForm(call.headers.get('content-type'))) return opened(body, reservation);
  const turns = new PieceTurns(teamId);
  return opened(await collectBody(body, limit, reservation, { signal, turns }), reservation);
}

function opened(body: Call['body'], reservation: MemoryReservation): OpenedBody {
  return body !== undefined && isStream(body) ? counted(body, reservation) : { body, understood };
}

const understood = () => {};

function sizeOf(body: string | Uint8Array, limit: number): number {
  const size = typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength;
  if (size > limit) throw bodyTooLarge(limit);
  return size;
}

function counted(body: AsyncIterable<Uint8Array>, reservation: MemoryReservation): OpenedBody {
  const iterator = body[Symbol.asyncIterator]();
  let held = true;
  const count = (next: IteratorResult<Uint8Array>) => {
    if (held && next.done !== true) reservation.hold(next.value.byteLength);
    return next;
  };
  // Not a generator: one that waits for its next piece could not be returned from.
  const pieces: AsyncIterableIterator<Uint8Array> = {
    [Symbol.asyncIterator]: () => pieces,
    next: async () => count(await iterator.next()),
    return: async () => (await iterator.return?.()) ?? { done: true, value: undefined },
  };
  return {
    body: pieces,
    understood() {
      held = false;
    },
  };
}

async function collectBody(
  body: AsyncIterable<Uint8Array>,
  limit: number,
  reservation: MemoryReservation,
  { signal, turns }: { signal: CallSignal | undefined; turns: PieceTurns },
): Promise<Buffer> {
  const buffer = new BodyBuffer(reservation);
  const iterator = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await untilAborted(iterator.next(), signal);
      if (next.done === true) return buffer.whole();
      if (buffer.size + next.value.byteLength > limit) throw bodyTooLarge(limit);
      buffer.push(next.value);
      const turn = turns.take(next.value.byteLength);
      if (turn !== undefined) await untilAborted(turn, signal);
    }
  } catch (error) {
    Promise.resolve(iterator.return?.()).catch(() => {});
    if (signal?.aborted || RouterError.isInstance(error)) throw error;
    throw new RouterError('invalid_request', 'The body of this call broke off.');
  }
}

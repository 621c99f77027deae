import type { Beginning } from '../../egress/response-body.ts';
import { RouterError } from '../../errors.ts';
import type { MemoryReservation } from '../../memory-budget.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { turnFor } from '../../tick-batch.ts';
import type { Cancel } from '../abort/cancel.ts';
import { type Answer, asBuffer, errorAnswer, readUpTo, wholeOf } from '../answer.ts';
import type { Endpoint } from '../endpoints/table.ts';
import { tokensOf, usageIn } from '../receipt/usage.ts';
import type { Classification } from '../upstream/classify-answer.ts';
import {
  eventStreamType,
  type Kind,
  kindOf,
  labelOf,
  needsBytes,
  tellingOf,
} from '../upstream/content-kind.ts';
import type { SignedResponse } from '../upstream/credentials.ts';
import { passHeaders, typesOf } from '../upstream/passed-headers.ts';
import { hideAccount, withoutAccount } from './account-names.ts';
import { type Course, Passage } from './body-stream.ts';
import { errorReply, redactorOf } from './error-reply.ts';
import { EventCourse } from './event-stream.ts';
import { brokenOff, unreachable } from './failures.ts';
import { headOf, sizeOf } from './head.ts';
import { readHeld } from './held-answer.ts';
import { isWhole, readFailure } from './json-check.ts';
import { type End, type Reply, wholeReply } from './reply.ts';
import { EventWatch } from './sse-guard.ts';

export { type End, type Reply, wholeReply } from './reply.ts';

export interface Reception {
  /** The caller's. */
  teamId: string | null;
  deployment: Deployment;
  response: SignedResponse;
  endpoint: Endpoint;
  /** The caller asked for a stream of events; `undefined`: that stands in a form. */
  stream: boolean | undefined;
  /** How many choices the caller asked for. */
  expectedChoices: number;
  /** Bytes that a JSON answer may have. */
  maxAnswerBytes: number;
  /** What is held of the answer is counted here. */
  reservation: MemoryReservation | undefined;
  cancel: Cancel;
  ended: (end: End) => void;
}

/** JSON answers up to here are handed over whole, so that a broken one is an error and not half an answer. */
const wholeBodyLimit = 1_048_576;
const errorBodyLimit = 262_144;

/**
 * Turns a provider's response into the caller's answer; a promise only if more of it has to come first.
 *
 * @throws RouterError `provider_unreachable`, `provider_timeout` for what is no answer
 */
export function receive(reception: Reception): Reply | Promise<Reply> {
  const { deployment, response } = reception;
  const { status } = response;
  if (status >= 400 && status <= 599) return refusalReply(reception);
  if (status >= 300 || status < 200) {
    response.body.destroy();
    const reason = status > 599 ? 'no answer can have that status' : 'redirects are not followed';
    throw unreachable(deployment, `answered ${status}; ${reason}`);
  }
  const passed = redactorOf(reception).coverHeaders(passHeaders(response.headers));
  const headers = withoutAccount(deployment, passed);
  if (status === 204 || status === 205) {
    response.body.destroy();
    const { 'content-length': _, 'content-type': __, ...bodyless } = headers;
    return wholeReply({ status, headers: bodyless, body: null });
  }
  const label = labelOf(typesOf(response.headers));
  if (!needsBytes(reception, label)) return kindReply(reception, headers, kindOf(reception, label, none), []);
  const head = headOf(response.body);
  const decide = (chunks: readonly Buffer[]) =>
    kindReply(reception, headers, kindOf(reception, label, tellingOf(chunks)), chunks);
  if (!(head instanceof Promise)) return decide(head);
  return head.then(decide, (error: unknown) => {
    throw brokenOff(deployment, error, reception.cancel);
  });
}

const none: Buffer = Buffer.alloc(0);

function kindReply(
  reception: Reception,
  headers: Record<string, string>,
  kind: Kind,
  head: readonly Buffer[],
): Reply | Promise<Reply> {
  const { deployment, endpoint, response, stream } = reception;
  if (kind === 'page') {
    response.body.destroy();
    throw unreachable(deployment, 'answered with a web page');
  }
  if (kind === 'events') {
    if (stream === true && endpoint.method !== 'GET' && head.length === 0 && response.body.over)
      throw unreachable(deployment, 'ended its stream before it began');
    return eventReply(reception, headers, head);
  }
  const announced = Number(headers['content-length'] ?? Number.NaN);
  if (kind === 'bytes' && !(announced <= wholeBodyLimit)) return openReply(reception, headers, kind, head);
  if (kind === 'json' && announced > reception.maxAnswerBytes) {
    response.body.destroy();
    throw tooLong(reception);
  }
  return readReply(reception, headers, kind, head);
}

async function refusalReply({ teamId, deployment, response, reservation }: Reception): Promise<Reply> {
  const { bytes, complete } = await readUpTo(response.body, errorBodyLimit);
  reservation?.take(bytes.byteLength);
  return refused({ teamId, deployment, response }, response.status, bytes, complete);
}

/** @param complete whether the bytes are all of the error */
function refused(
  signed: Pick<Reception, 'teamId' | 'deployment' | 'response'>,
  status: number,
  bytes: Buffer,
  complete = true,
): Reply | Promise<Reply> {
  const redactor = redactorOf(signed);
  const reply = (redacted: Buffer) => errorReply(signed.deployment, signed.response, status, bytes, redacted);
  const redacted = redactor.bytesInTurns(bytes, complete, (length) => turnFor(signed.teamId, length));
  return redacted instanceof Promise ? redacted.then(reply) : reply(redacted);
}

function eventReply(reception: Reception, headers: Record<string, string>, head: readonly Buffer[]): Reply {
  const { deployment, response, endpoint, expectedChoices, cancel, ended, reservation } = reception;
  const redactor = redactorOf(reception);
  const api = endpoint.streams ?? 'chat';
  const covered = redactor.stream(true);
  const course = new EventCourse({
    watch: new EventWatch((events) => hideAccount(deployment, redactor.event(events)), {
      api,
      expectedChoices,
      reservation,
    }),
    covered,
    judged: endpoint.method !== 'GET',
    failureOf: (cause) => brokenOff(deployment, cause, cancel),
    ended,
    endSoon: () => response.body.endSoon(),
  });
  // A stream may get one event more than the provider announced: the error that ends it.
  const { 'content-length': _, ...streamHeaders } = headers;
  if (reception.stream === true) streamHeaders['content-type'] = eventStreamType(headers);
  return open({
    status: response.status,
    headers: streamHeaders,
    body: new Passage(response.body, course, reception.teamId, head),
  });
}

/** Reads an answer that is to be handed over whole; one that turns out too long goes on as it comes. */
function readReply(
  reception: Reception,
  headers: Record<string, string>,
  kind: Kind,
  head: readonly Buffer[],
): Reply | Promise<Reply> {
  const { response, reservation } = reception;
  const announced = Number(headers['content-length'] ?? Number.NaN);
  const read = readHeld(response.body, wholeBodyLimit, announced, reservation);
  const begun = sizeOf(head);
  const whole = ({ chunks, size, complete }: Beginning) =>
    readWhole(reception, headers, kind, { chunks: [...head, ...chunks], size: begun + size, complete });
  if (!(read instanceof Promise)) return whole(read);
  return read.then(whole, (error: unknown) => {
    throw brokenOff(reception.deployment, error, reception.cancel);
  });
}

function readWhole(
  reception: Reception,
  headers: Record<string, string>,
  kind: Kind,
  { chunks, size, complete }: Beginning,
): Reply | Promise<Reply> {
  const { response } = reception;
  if (kind === 'json' && size > reception.maxAnswerBytes) {
    response.body.destroy();
    throw tooLong(reception);
  }
  if (!complete) return openReply(reception, headers, kind, chunks);
  const bytes = wholeOf(chunks);
  const turn = turnFor(reception.teamId, bytes.length);
  const covered = () => coverWhole(reception, headers, kind, bytes);
  return turn === undefined ? covered() : turn.then(covered);
}

function coverWhole(
  reception: Reception,
  headers: Record<string, string>,
  kind: Kind,
  bytes: Buffer,
): Reply | Promise<Reply> {
  const covered = redactorOf(reception).coverInTurns(bytes, (length) => turnFor(reception.teamId, length));
  const judge = (body: Buffer) => judgeWhole(reception, headers, kind, bytes, body);
  return covered instanceof Promise ? covered.then(judge) : judge(covered);
}

/** @param bytes as the provider sent them; `body` is what the caller may see */
function judgeWhole(
  { teamId, deployment, response, stream, endpoint }: Reception,
  headers: Record<string, string>,
  kind: Kind,
  bytes: Buffer,
  body: Buffer,
): Reply | Promise<Reply> {
  const answer: Answer = { status: response.status, headers, body };
  const size = bytes.length;
  if (kind !== 'json' || size === 0) return wholeReply(answer);
  const { value, valid } = isWhole(bytes);
  if (!valid) throw unreachable(deployment, 'sent JSON that is not whole');
  const failure = readFailure(value);
  if (failure !== undefined) return refused({ teamId, deployment, response }, failure, bytes);
  if (stream === true && endpoint.streams !== undefined)
    return paidReply(unreachable(deployment, 'was asked for a stream of events and answered with JSON'));
  const usage =
    value === undefined ? usageIn(bytes.toString('latin1', size - 16_384)) : tokensOf(value.usage);
  return wholeReply(answer, undefined, usage);
}

/** @param head what has been read of the body already */
function openReply(
  reception: Reception,
  headers: Record<string, string>,
  kind: Kind,
  head: readonly Buffer[],
): Reply {
  let left = kind === 'json' ? reception.maxAnswerBytes : Number.POSITIVE_INFINITY;
  const covered = redactorOf(reception).stream(false);
  const course: Course = {
    held: 0,
    push(chunk, out) {
      left -= chunk.byteLength;
      if (left < 0) throw tooLong(reception);
      covered.push(asBuffer(chunk), out);
    },
    end(out) {
      covered.flush(out);
      reception.ended({});
      return undefined;
    },
    broken: (error) => broken(reception, error),
    finished: () => false,
    left() {
      reception.ended({ left: true });
      return false;
    },
  };
  const body = new Passage(reception.response.body, course, reception.teamId, head);
  return open({ status: reception.response.status, headers, body });
}

/** A whole answer that cannot be handed over. Asking again would be paid again, and would be answered alike. */
function paidReply(error: RouterError): Reply {
  const judged: Classification = { meaning: 'unknown', decision: 'fail', signal: 'responsive' };
  return { ...wholeReply(errorAnswer(error), error.code), status: error.status, judged };
}

function open(answer: Answer): Reply {
  return { ...wholeReply(answer), open: true };
}

function tooLong({ deployment, maxAnswerBytes }: Reception): RouterError {
  return unreachable(deployment, `answered with more than ${maxAnswerBytes} bytes of JSON`);
}

/** Says in the end what broke the body off. */
function broken({ deployment, cancel, ended }: Reception, cause: unknown): unknown {
  const error = brokenOff(deployment, cause, cancel);
  ended(RouterError.isInstance(error) ? { error } : { left: true });
  return error;
}

import type { BufferedPrefix } from '../../egress/response-body.ts';
import { RouterError } from '../../errors.ts';
import type { MemoryReservation } from '../../memory-budget.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { tickFor } from '../../tick-batch.ts';
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
import { type BodyTransform, RelayedBody } from './body-stream.ts';
import { errorReply, redactorOf } from './error-reply.ts';
import { EventTransform } from './event-stream.ts';
import { brokenOff, unreachable } from './failures.ts';
import { headOf, sizeOf } from './head.ts';
import { readHeld } from './held-answer.ts';
import { isWhole, readFailure } from './json-check.ts';
import { type BodyEnd, type CallResult, wholeResult } from './reply.ts';
import { SseGuard } from './sse-guard.ts';

export { type BodyEnd, type CallResult, wholeResult } from './reply.ts';

export interface UpstreamExchange {
  /** The caller's. */
  teamId: string | null;
  deployment: Deployment;
  response: SignedResponse;
  endpoint: Endpoint;
  /** The caller asked for a stream of events; `undefined`: a form may still say so. */
  stream: boolean | undefined;
  /** How many choices the caller asked for. */
  expectedChoices: number;
  /** Bytes that a JSON answer may have. */
  maxAnswerBytes: number;
  /** What is held of the answer is counted here. */
  reservation: MemoryReservation | undefined;
  cancel: Cancel;
  ended: (end: BodyEnd) => void;
}

/** JSON answers up to here are handed over whole, so that a broken one is an error and not half an answer. */
const wholeBodyLimit = 1_048_576;
const errorBodyLimit = 262_144;

/**
 * Turns a provider's response into the caller's answer; a promise only if more of it has to come first.
 *
 * @throws RouterError `provider_unreachable`, `provider_timeout` for what is no answer
 */
export function readResponse(exchange: UpstreamExchange): CallResult | Promise<CallResult> {
  const { deployment, response } = exchange;
  const { status } = response;
  if (status >= 400 && status <= 599) return refusalReply(exchange);
  if (status >= 300 || status < 200) {
    response.body.destroy();
    const reason = status > 599 ? 'no answer can have that status' : 'redirects are not followed';
    throw unreachable(deployment, `answered ${status}; ${reason}`);
  }
  const passed = redactorOf(exchange).coverHeaders(passHeaders(response.headers));
  const headers = withoutAccount(deployment, passed);
  if (status === 204 || status === 205) {
    response.body.destroy();
    const { 'content-length': _, 'content-type': __, ...bodyless } = headers;
    return wholeResult({ status, headers: bodyless, body: null });
  }
  const label = labelOf(typesOf(response.headers));
  if (!needsBytes(exchange, label)) return kindReply(exchange, headers, kindOf(exchange, label, none), []);
  const head = headOf(response.body);
  const decide = (chunks: readonly Buffer[]) =>
    kindReply(exchange, headers, kindOf(exchange, label, tellingOf(chunks)), chunks);
  if (!(head instanceof Promise)) return decide(head);
  return head.then(decide, (error: unknown) => {
    throw brokenOff(deployment, error, exchange.cancel);
  });
}

const none: Buffer = Buffer.alloc(0);

function kindReply(
  exchange: UpstreamExchange,
  headers: Record<string, string>,
  kind: Kind,
  head: readonly Buffer[],
): CallResult | Promise<CallResult> {
  const { deployment, endpoint, response } = exchange;
  if (kind === 'page') {
    response.body.destroy();
    throw unreachable(deployment, 'answered with a web page');
  }
  if (kind === 'events') {
    // A transcript may be empty, and some providers label it as a stream.
    const expected = exchange.stream === true || endpoint.answer !== 'text';
    if (expected && endpoint.method !== 'GET' && head.length === 0 && response.body.over)
      throw unreachable(deployment, 'ended its stream before it began');
    return eventReply(exchange, headers, head);
  }
  const announced = Number(headers['content-length'] ?? Number.NaN);
  if (kind === 'bytes' && !(announced <= wholeBodyLimit)) return openReply(exchange, headers, kind, head);
  if (kind === 'json' && announced > exchange.maxAnswerBytes) {
    response.body.destroy();
    throw tooLong(exchange);
  }
  return readReply(exchange, headers, kind, head);
}

async function refusalReply({
  teamId,
  deployment,
  response,
  reservation,
}: UpstreamExchange): Promise<CallResult> {
  const { bytes, complete } = await readUpTo(response.body, errorBodyLimit);
  reservation?.take(bytes.byteLength);
  return refused({ teamId, deployment, response }, response.status, bytes, complete);
}

/** @param complete whether the bytes are all of the error */
function refused(
  signed: Pick<UpstreamExchange, 'teamId' | 'deployment' | 'response'>,
  status: number,
  bytes: Buffer,
  complete = true,
): CallResult | Promise<CallResult> {
  const redactor = redactorOf(signed);
  const reply = (redacted: Buffer) => errorReply(signed.deployment, signed.response, status, bytes, redacted);
  const redacted = redactor.bytesInSlices(bytes, complete, (length) => tickFor(signed.teamId, length));
  return redacted instanceof Promise ? redacted.then(reply) : reply(redacted);
}

function eventReply(
  exchange: UpstreamExchange,
  headers: Record<string, string>,
  head: readonly Buffer[],
): CallResult {
  const { deployment, response, endpoint, expectedChoices, cancel, ended, reservation } = exchange;
  const redactor = redactorOf(exchange);
  const api = endpoint.streams ?? 'chat';
  const covered = redactor.stream(true);
  const transform = new EventTransform({
    watch: new SseGuard((events) => hideAccount(deployment, redactor.event(events)), {
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
  if (exchange.stream === true) streamHeaders['content-type'] = eventStreamType(headers);
  return open({
    status: response.status,
    headers: streamHeaders,
    body: new RelayedBody(response.body, transform, exchange.teamId, head),
  });
}

/** Reads an answer that is to be handed over whole; one that turns out too long goes on as it comes. */
function readReply(
  exchange: UpstreamExchange,
  headers: Record<string, string>,
  kind: Kind,
  head: readonly Buffer[],
): CallResult | Promise<CallResult> {
  const { response, reservation } = exchange;
  const announced = Number(headers['content-length'] ?? Number.NaN);
  const read = readHeld(response.body, wholeBodyLimit, announced, reservation);
  const begun = sizeOf(head);
  const whole = ({ chunks, size, complete }: BufferedPrefix) =>
    readWhole(exchange, headers, kind, { chunks: [...head, ...chunks], size: begun + size, complete });
  if (!(read instanceof Promise)) return whole(read);
  return read.then(whole, (error: unknown) => {
    throw brokenOff(exchange.deployment, error, exchange.cancel);
  });
}

function readWhole(
  exchange: UpstreamExchange,
  headers: Record<string, string>,
  kind: Kind,
  { chunks, size, complete }: BufferedPrefix,
): CallResult | Promise<CallResult> {
  const { response } = exchange;
  if (kind === 'json' && size > exchange.maxAnswerBytes) {
    response.body.destroy();
    throw tooLong(exchange);
  }
  if (!complete) return openReply(exchange, headers, kind, chunks);
  const bytes = wholeOf(chunks);
  const turn = tickFor(exchange.teamId, bytes.length);
  const covered = () => coverWhole(exchange, headers, kind, bytes);
  return turn === undefined ? covered() : turn.then(covered);
}

function coverWhole(
  exchange: UpstreamExchange,
  headers: Record<string, string>,
  kind: Kind,
  bytes: Buffer,
): CallResult | Promise<CallResult> {
  const covered = redactorOf(exchange).coverInSlices(bytes, (length) => tickFor(exchange.teamId, length));
  const judge = (body: Buffer) => judgeWhole(exchange, headers, kind, bytes, body);
  return covered instanceof Promise ? covered.then(judge) : judge(covered);
}

/** @param bytes as the provider sent them; `body` is what the caller may see */
function judgeWhole(
  { teamId, deployment, response, stream, endpoint }: UpstreamExchange,
  headers: Record<string, string>,
  kind: Kind,
  bytes: Buffer,
  body: Buffer,
): CallResult | Promise<CallResult> {
  const answer: Answer = { status: response.status, headers, body };
  const size = bytes.length;
  if (kind !== 'json' || size === 0) return wholeResult(answer);
  const { value, valid } = isWhole(bytes);
  if (!valid) throw unreachable(deployment, 'sent JSON that is not whole');
  const failure = readFailure(value);
  if (failure !== undefined) return refused({ teamId, deployment, response }, failure, bytes);
  // Of the models that take forms, some ignore that they were asked for a stream.
  if (stream === true && endpoint.streams !== undefined && endpoint.model !== 'form')
    return paidReply(unreachable(deployment, 'was asked for a stream of events and answered with JSON'));
  const usage =
    value === undefined ? usageIn(bytes.toString('latin1', size - 16_384)) : tokensOf(value.usage);
  return wholeResult(answer, undefined, usage);
}

/** @param head what has been read of the body already */
function openReply(
  exchange: UpstreamExchange,
  headers: Record<string, string>,
  kind: Kind,
  head: readonly Buffer[],
): CallResult {
  let left = kind === 'json' ? exchange.maxAnswerBytes : Number.POSITIVE_INFINITY;
  const covered = redactorOf(exchange).stream(false);
  const transform: BodyTransform = {
    held: 0,
    transform(chunk, out) {
      left -= chunk.byteLength;
      if (left < 0) throw tooLong(exchange);
      covered.push(asBuffer(chunk), out);
    },
    flush(out) {
      covered.flush(out);
      exchange.ended({});
      return undefined;
    },
    onError: (error) => broken(exchange, error),
    finished: () => false,
    onCancel() {
      exchange.ended({ left: true });
      return false;
    },
  };
  const body = new RelayedBody(exchange.response.body, transform, exchange.teamId, head);
  return open({ status: exchange.response.status, headers, body });
}

/** A whole answer that cannot be handed over. Asking again would be paid again, and would be answered alike. */
function paidReply(error: RouterError): CallResult {
  const judged: Classification = { meaning: 'unknown', decision: 'fail', signal: 'responsive' };
  return { ...wholeResult(errorAnswer(error), error.code), status: error.status, judged };
}

function open(answer: Answer): CallResult {
  return { ...wholeResult(answer), open: true };
}

function tooLong({ deployment, maxAnswerBytes }: UpstreamExchange): RouterError {
  return unreachable(deployment, `answered with more than ${maxAnswerBytes} bytes of JSON`);
}

/** Says in the end what broke the body off. */
function broken({ deployment, cancel, ended }: UpstreamExchange, cause: unknown): unknown {
  const error = brokenOff(deployment, cause, cancel);
  ended(RouterError.isInstance(error) ? { error } : { left: true });
  return error;
}

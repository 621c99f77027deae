import type { BufferedPrefix } from '../../egress/response-body.ts';
import type { RouterError } from '../../errors.ts';
import { answerReport, usageIn } from '../../metering/usage/usage-report.ts';
import { tickFor } from '../../tick-batch.ts';
import { type Answer, errorAnswer, readUpTo, wholeOf } from '../answer.ts';
import type { Classification } from '../upstream/classify-answer.ts';
import { type Kind, kindOf, type Label, labelOf, needsBytes, tellingOf } from '../upstream/content-kind.ts';
import { passHeaders, passSharedHeaders, typesOf } from '../upstream/passed-headers.ts';
import { providerMessage } from '../upstream/provider-message.ts';
import { errorReply, hidesAccount, redactorOf } from './error-reply.ts';
import { beginningOf, type StreamBeginning } from './events/first-event.ts';
import { classifyEvent } from './events/stream-error.ts';
import { brokenOff, RedirectError, unreachable } from './failures.ts';
import { headOf, sizeOf } from './head.ts';
import { readHeld } from './held-answer.ts';
import { isWhole, readFailure } from './json-check.ts';
import { type CallResult, type UpstreamExchange, wholeResult } from './reply.ts';
import { readShared } from './shared-answer.ts';
import { eventReply, openReply, tooLong } from './streamed-reply.ts';

export { type BodyEnd, type CallResult, type UpstreamExchange, wholeResult } from './reply.ts';

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
  const shared = hidesAccount(exchange.teamId, deployment);
  if (status >= 300 || status < 200) {
    response.body.destroy();
    if (status >= 300 && status < 400)
      throw new RedirectError(deployment, status, { to: response.headers.location !== undefined, shared });
    throw unreachable(deployment, `answered ${status}; no answer can have that status`);
  }
  const passed = shared ? passSharedHeaders(response.headers) : passHeaders(response.headers);
  const headers = redactorOf(exchange).coverHeaders(passed);
  if (status === 204 || status === 205) {
    response.body.destroy();
    const { 'content-length': _, 'content-type': __, ...bodyless } = headers;
    return wholeResult({ status, headers: bodyless, body: null });
  }
  const label = labelOf(typesOf(response.headers));
  if (!needsBytes(exchange, label)) return kindReply(exchange, headers, kindFor(exchange, label, none), []);
  const head = headOf(response.body);
  const decide = (chunks: readonly Buffer[]) =>
    kindReply(exchange, headers, kindFor(exchange, label, tellingOf(chunks)), chunks);
  if (!(head instanceof Promise)) return decide(head);
  return head.then(decide, (error: unknown) => {
    throw brokenOff(deployment, error, exchange.cancel);
  });
}

const none: Buffer = Buffer.alloc(0);

/** A team gets no bytes of a shared deployment that may be an error's text. */
function kindFor(exchange: UpstreamExchange, label: Label, head: Buffer): Kind {
  const kind = kindOf(exchange, label, head);
  const { endpoint, teamId, deployment } = exchange;
  if (kind !== 'bytes' || endpoint.answer === 'text' || !hidesAccount(teamId, deployment)) return kind;
  return endpoint.answer === 'json' || label === 'json' || label === 'text' ? 'json' : kind;
}

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
    if (
      expected &&
      endpoint.streams !== 'plain' &&
      endpoint.method !== 'GET' &&
      head.length === 0 &&
      response.body.over
    )
      throw unreachable(deployment, 'ended its stream before it began');
    return eventsReply(exchange, headers, head);
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
  const reply = (redacted: Buffer) =>
    errorReply(signed.teamId, signed.deployment, signed.response, status, bytes, redacted);
  const redacted = redactor.bytesInSlices(bytes, complete, (length) => tickFor(signed.teamId, length));
  return redacted instanceof Promise ? redacted.then(reply) : reply(redacted);
}

/** A stream that begins with an error is a failed attempt, because the caller has seen nothing of it. */
function eventsReply(
  exchange: UpstreamExchange,
  headers: Record<string, string>,
  head: readonly Buffer[],
): CallResult | Promise<CallResult> {
  const { teamId, deployment, endpoint, response } = exchange;
  if (endpoint.method === 'GET' || endpoint.streams === 'plain') return eventReply(exchange, headers, head);
  const begin = ({ chunks, error }: StreamBeginning) => {
    if (error === undefined) return eventReply(exchange, headers, chunks);
    response.body.destroy();
    const { status } = classifyEvent(error, response);
    const json = { ...response, headers: { ...response.headers, 'content-type': 'application/json' } };
    return refused({ teamId, deployment, response: json }, status, error);
  };
  const beginning = beginningOf(response.body, head);
  if (!(beginning instanceof Promise)) return begin(beginning);
  return beginning.then(begin, (error: unknown) => {
    throw brokenOff(deployment, error, exchange.cancel);
  });
}

/** Reads a response to return as a whole. Streams a response that exceeds the limit. */
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
  const shared = hidesAccount(teamId, deployment);
  const size = bytes.length;
  const answer: Answer = { status: response.status, headers, body };
  if (kind !== 'json' || size === 0) return wholeResult(answer);
  const { value, valid } = isWhole(bytes);
  if (!valid) throw unreachable(deployment, 'sent JSON that is not whole');
  const own = readFailure(value);
  const safe = shared && own === undefined ? readShared(value, body) : undefined;
  const failure = safe?.failed ? 502 : own;
  if (failure !== undefined) return refused({ teamId, deployment, response }, failure, bytes);
  // Of the models that take forms, some ignore that they were asked for a stream.
  if (stream === true && endpoint.streams !== undefined && endpoint.model !== 'form')
    return paidReply(unreachable(deployment, 'was asked for a stream of events and answered with JSON'));
  const usage = value === undefined ? usageIn(bytes.toString('latin1', size - 16_384)) : answerReport(value);
  if (safe?.body === undefined) return wholeResult(answer, undefined, usage);
  const { 'content-length': _, ...others } = headers;
  const said = providerMessage(redactorOf({ deployment, response }).bytes(bytes));
  const cleaned = wholeResult({ ...answer, headers: others, body: safe.body }, undefined, usage);
  return said === undefined ? cleaned : { ...cleaned, providerMessage: said };
}

/** A whole answer that cannot be handed over. Asking again would be paid again, and would be answered alike. */
function paidReply(error: RouterError): CallResult {
  const judged: Classification = { meaning: 'unknown', decision: 'fail', signal: 'responsive' };
  return { ...wholeResult(errorAnswer(error), error.code), status: error.status, judged };
}

import type { Beginning } from '../egress/response-body.ts';
import { RouterError } from '../errors.ts';
import type { Redactor } from '../redact/redactor.ts';
import type { Deployment } from '../teams/deployment.ts';
import { hideAccount, shownKey, withoutAccount } from './account-names.ts';
import { type Answer, asBuffer, errorAnswer, readUpTo, wholeOf } from './answer.ts';
import { isWhole, readFailure } from './answer-check.ts';
import type { Cancel } from './cancel.ts';
import { type Classification, classifyAnswer } from './classify-answer.ts';
import type { SignedResponse } from './credentials.ts';
import type { Endpoint } from './endpoint-table.ts';
import { EventWatch } from './event-watch.ts';
import { readHeld } from './held-answer.ts';
import type { MemoryReservation } from './memory-budget.ts';
import { Passage } from './passage.ts';
import { passHeaders, retryAfterMs, typesOf } from './passed-headers.ts';
import { providerMessage } from './provider-message.ts';
import { eventStreamType, type Kind, kindOf, labelOf, needsBytes } from './response/classify.ts';
import { EventCourse } from './response/event-course.ts';
import { brokenOff, shown, unreachable } from './response/failures.ts';
import { headOf, sizeOf } from './response/head.ts';
import { type Tokens, tokensOf, usageIn } from './usage.ts';

/** How a body ended that was still to come when the answer began. */
export interface End {
  /** It broke off, or was not complete. */
  error?: RouterError;
  /** The reader left. */
  left?: boolean;
  tokens?: Tokens | undefined;
}

/** What a provider answered, read as far as it has to be before the caller may see it. */
export interface Reply {
  answer: Answer;
  /** The provider's; 502 if what it sent under a 200 is a failure. */
  status: number;
  retryAfterMs: number | undefined;
  tokens?: Tokens | undefined;
  /** The error's, if it is the router's own. */
  code?: string | undefined;
  /** What the provider said at 401 or 403, redacted. */
  providerMessage?: string;
  /** What the provider's answer means. Absent for a success. */
  judged?: Classification;
  /** The body is still to come: nothing can be tried again. */
  open: boolean;
}

export interface Reception {
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
    const { 'content-length': _, ...bodyless } = headers;
    return wholeReply({ status, headers: bodyless, body: null });
  }
  const label = labelOf(typesOf(response.headers));
  if (!needsBytes(reception, label)) return kindReply(reception, headers, kindOf(reception, label, none), []);
  const head = headOf(response.body);
  const decide = (chunks: readonly Buffer[]) =>
    kindReply(reception, headers, kindOf(reception, label, wholeOf(chunks)), chunks);
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

async function refusalReply({ deployment, response, reservation }: Reception): Promise<Reply> {
  const { bytes, complete } = await readUpTo(response.body, errorBodyLimit);
  reservation?.take(bytes.byteLength);
  return errorReply(deployment, response, response.status, bytes, complete);
}

function eventReply(reception: Reception, headers: Record<string, string>, head: readonly Buffer[]): Reply {
  const { deployment, response, endpoint, expectedChoices, cancel, ended } = reception;
  const redactor = redactorOf(reception);
  const api = endpoint.streams ?? 'chat';
  const covered = redactor.stream(true);
  const course = new EventCourse({
    watch: new EventWatch((events) => hideAccount(deployment, redactor.bytes(events)), api, expectedChoices),
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
    body: new Passage(response.body, course, [], head),
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
): Reply {
  const { deployment, response, stream } = reception;
  if (kind === 'json' && size > reception.maxAnswerBytes) {
    response.body.destroy();
    throw tooLong(reception);
  }
  if (!complete) return openReply(reception, headers, kind, chunks);
  const bytes = wholeOf(chunks);
  const answer: Answer = { status: response.status, headers, body: redactorOf(reception).cover(bytes) };
  if (kind !== 'json' || size === 0) return wholeReply(answer);
  const { value, valid } = isWhole(bytes);
  if (!valid) throw unreachable(deployment, 'sent JSON that is not whole');
  const failure = readFailure(value);
  if (failure !== undefined) return errorReply(deployment, response, failure, bytes);
  if (stream === true && reception.endpoint.streams !== undefined)
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
  const safeHead: Uint8Array[] = [];
  for (const chunk of head) {
    left -= chunk.byteLength;
    covered.push(chunk, safeHead);
  }
  const body = new Passage(
    reception.response.body,
    {
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
      left() {
        reception.ended({ left: true });
        return false;
      },
    },
    safeHead,
  );
  return open({ status: reception.response.status, headers, body });
}

/** An answer that is all there. */
export function wholeReply(answer: Answer, code?: string, tokens?: Tokens): Reply {
  return { answer, status: answer.status, retryAfterMs: undefined, tokens, code, open: false };
}

/** A whole answer that cannot be handed over. Asking again would be paid again, and would be answered alike. */
function paidReply(error: RouterError): Reply {
  const judged: Classification = { meaning: 'unknown', decision: 'fail', signal: 'responsive' };
  return { ...wholeReply(errorAnswer(error), error.code), status: error.status, judged };
}

function open(answer: Answer): Reply {
  return { ...wholeReply(answer), open: true };
}

function errorReply(
  deployment: Deployment,
  response: SignedResponse,
  status: number,
  bytes: Buffer,
  complete = true,
): Reply {
  const { headers: given } = response;
  const asked = retryAfterMs(given);
  // Under a success, `status` is no more than what stands for a failure, unless the error tells its own.
  const own = status === 502 ? response.status : status;
  const judged = classifyAnswer({ status: own, headers: given, body: bytes });
  const redactor = redactorOf({ deployment, response });
  const redacted = redactor.bytes(bytes, complete);
  const words = status === 401 || status === 403 ? providerMessage(redacted) : undefined;
  const said = words === undefined ? {} : { providerMessage: words };
  if (status === 401) {
    const message = `The provider rejected the stored credential${shownKey(deployment)} of ${shown(deployment)}.`;
    const error = new RouterError('provider_authentication_failed', message);
    // The words may speak of the operator's account, so no team reads them.
    const own = words === undefined || deployment.teamId === null ? {} : { provider_message: words };
    const answer = errorAnswer(error, { provider_status: status, ...own });
    return { ...wholeReply(answer, error.code), status, retryAfterMs: asked, judged, ...said };
  }
  const { 'content-length': _, ...passed } = withoutAccount(deployment, passHeaders(given));
  const headers: Record<string, string> = { 'x-litellm-error-source': 'provider' };
  for (const [name, value] of Object.entries(passed)) headers[name] = redactor.text(value);
  const body = hideAccount(deployment, redacted);
  return { ...wholeReply({ status, headers, body }), retryAfterMs: asked, judged, ...said };
}

/** Replaces what the provider was sent and must not be shown, if it repeats it. */
function redactorOf({ deployment, response }: Pick<Reception, 'deployment' | 'response'>): Redactor {
  return deployment.redactor(response.token);
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

import { RouterError } from '../../errors.ts';
import { type UsageReport, usageIn } from '../../metering/usage/usage-report.ts';
import { type Answer, asBuffer } from '../answer.ts';
import { eventStreamType, type Kind } from '../upstream/content-kind.ts';
import { type BodyTransform, RelayedBody } from './body-stream.ts';
import { hidesAccount, redactorOf } from './error-reply.ts';
import { EventTransform } from './event-stream.ts';
import { classifyEvent } from './events/stream-error.ts';
import { brokenOff, unreachable } from './failures.ts';
import { type BodyEnd, type CallResult, type UpstreamExchange, wholeResult } from './reply.ts';
import { LongAnswerCheck } from './shared-answer.ts';
import { SharedEvents } from './shared-events.ts';
import { SseGuard } from './sse-guard.ts';

export function eventReply(
  exchange: UpstreamExchange,
  headers: Record<string, string>,
  head: readonly Buffer[],
): CallResult {
  const { teamId, deployment, response, endpoint, expectedChoices, cancel, reservation, countsContent } =
    exchange;
  const redactor = redactorOf(exchange);
  const api = endpoint.streams ?? 'chat';
  const covered = redactor.stream(true);
  const shared = hidesAccount(teamId, deployment) ? new SharedEvents(api) : undefined;
  const ended = (end: BodyEnd) =>
    exchange.ended(
      shared?.said === undefined ? end : { ...end, providerMessage: redactor.text(shared.said) },
    );
  const transform = new EventTransform({
    watch: new SseGuard((events) => redactor.event(events), {
      screen: shared && ((run) => shared.pass(run)),
      api,
      expectedChoices,
      reservation,
      countsContent,
    }),
    covered,
    judged: endpoint.method !== 'GET' && api !== 'plain',
    failureOf: (cause) => brokenOff(deployment, cause, cancel),
    classify: (body) => classifyEvent(shared?.error ?? body, response),
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

/** @param head what has been read of the body already */
export function openReply(
  exchange: UpstreamExchange,
  headers: Record<string, string>,
  kind: Kind,
  head: readonly Buffer[],
): CallResult {
  let left = kind === 'json' ? exchange.maxAnswerBytes : Number.POSITIVE_INFINITY;
  const covered = redactorOf(exchange).stream(false);
  const check =
    kind === 'json' && hidesAccount(exchange.teamId, exchange.deployment) ? new LongAnswerCheck() : undefined;
  const tail = kind === 'json' ? new UsageTail() : undefined;
  const transform: BodyTransform = {
    held: 0,
    transform(chunk, out) {
      tail?.push(asBuffer(chunk));
      left -= chunk.byteLength;
      if (left < 0) throw tooLong(exchange);
      if (check?.tells(asBuffer(chunk))) throw unreachable(exchange.deployment, 'answered with an error');
      covered.push(asBuffer(chunk), out);
    },
    flush(out) {
      covered.flush(out);
      exchange.ended({ report: tail?.report() });
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

function open(answer: Answer): CallResult {
  return { ...wholeResult(answer), open: true };
}

/** Bytes at the end of a long answer that are searched for its usage. */
const maxTailBytes = 16_384;

/** Keeps the end of an answer that is too long to be held, because its usage is there. */
class UsageTail {
  #bytes: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): void {
    const joined = chunk.length >= maxTailBytes ? chunk : Buffer.concat([this.#bytes, chunk]);
    this.#bytes = Buffer.from(joined.subarray(Math.max(0, joined.length - maxTailBytes)));
  }

  report(): UsageReport | undefined {
    return usageIn(this.#bytes.toString('latin1'));
  }
}

export function tooLong({ deployment, maxAnswerBytes }: UpstreamExchange): RouterError {
  return unreachable(deployment, `answered with more than ${maxAnswerBytes} bytes of JSON`);
}

/** Says in the end what broke the body off. */
function broken({ deployment, cancel, ended }: UpstreamExchange, cause: unknown): unknown {
  const error = brokenOff(deployment, cause, cancel);
  ended(RouterError.isInstance(error) ? { error } : { left: true });
  return error;
}

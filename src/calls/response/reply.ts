import type { RouterError } from '../../errors.ts';
import type { MemoryReservation } from '../../memory-budget.ts';
import type { UsageReport } from '../../metering/usage/usage-report.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { Cancel } from '../abort/cancel.ts';
import type { Answer } from '../answer.ts';
import type { Endpoint } from '../endpoints/table.ts';
import type { Classification } from '../upstream/classify-answer.ts';
import type { SignedResponse } from '../upstream/credentials.ts';
import type { StreamError } from './events/stream-error.ts';

/** How a body ended that was still to come when the answer began. */
export interface BodyEnd {
  /** It broke off, or was not complete. */
  error?: RouterError;
  /** The provider ended it with an error event. */
  failure?: StreamError;
  /** The reader left. */
  left?: boolean;
  /** What the provider said in an error of a stream, redacted, if the caller may not read it. */
  providerMessage?: string;
  report?: UsageReport | undefined;
  /** Bytes of content that a stream without a usage report carried, if they are counted. */
  contentBytes?: number | undefined;
}

/** What a provider answered, read as far as it has to be before the caller may see it. */
export interface CallResult {
  answer: Answer;
  /** The provider's; 502 if what it sent under a 200 is a failure. */
  status: number;
  retryAfterMs: number | undefined;
  report?: UsageReport | undefined;
  /** The error's, if it is the router's own. */
  code?: string | undefined;
  /** What the provider said at 401 or 403, or in any error that the caller may not read, redacted. */
  providerMessage?: string;
  /** What the provider's answer means. Absent for a success. */
  judged?: Classification;
  /** The body is still to come: nothing can be tried again. */
  open: boolean;
}

/** An answer that is all there. */
export function wholeResult(answer: Answer, code?: string, report?: UsageReport): CallResult {
  return { answer, status: answer.status, retryAfterMs: undefined, report, code, open: false };
}

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
  /** Whether the content of a stream is counted, in case that the provider reports no usage. */
  countsContent: boolean;
  cancel: Cancel;
  ended: (end: BodyEnd) => void;
}

import type { RouterError } from '../../errors.ts';
import type { Answer } from '../answer.ts';
import type { Tokens } from '../receipt/usage.ts';
import type { Classification } from '../upstream/classify-answer.ts';

/** How a body ended that was still to come when the answer began. */
export interface BodyEnd {
  /** It broke off, or was not complete. */
  error?: RouterError;
  /** The reader left. */
  left?: boolean;
  tokens?: Tokens | undefined;
}

/** What a provider answered, read as far as it has to be before the caller may see it. */
export interface CallResult {
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

/** An answer that is all there. */
export function wholeResult(answer: Answer, code?: string, tokens?: Tokens): CallResult {
  return { answer, status: answer.status, retryAfterMs: undefined, tokens, code, open: false };
}

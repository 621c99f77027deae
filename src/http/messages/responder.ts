import type { Answer } from '../../calls/answer.ts';
import { RouterError } from '../../errors.ts';
import { describeError, type Log } from '../../logger.ts';
import { RefusalLog } from '../auth/refusal-log.ts';
import { failure } from './answers.ts';
import type { NodeBindings } from './bindings.ts';
import { identify, reply } from './reply.ts';
import { isClientDisconnect } from './response-close.ts';

/**
 * Runs the work of requests and writes their responses. Converts an error to an error response of the gateway,
 * and logs it.
 */
export class Responder {
  readonly #log: Log;
  readonly #refusals: RefusalLog;

  constructor(log: Log) {
    this.#log = log;
    this.#refusals = new RefusalLog(log);
  }

  /** @param extraHeaders returns the headers that middleware has set when the work ends, such as CORS */
  async respond(
    bindings: NodeBindings,
    work: () => Answer | Promise<Answer>,
    extraHeaders?: () => Record<string, string> | undefined,
  ): Promise<Response> {
    let answer: Answer;
    try {
      answer = await work();
    } catch (error) {
      answer = this.failed(error, bindings);
    }
    return reply(answer, bindings, extraHeaders?.());
  }

  /** Returns the answer for an error, and logs it. */
  failed(error: unknown, bindings: NodeBindings): Answer {
    this.#refusals.note(error, bindings);
    const answer = failure(error);
    const requestId = identify(answer.headers);
    if (!RouterError.isInstance(error) && !isClientDisconnect(error))
      this.#log.write('error', { requestId, error: describeError(error) }, 'request could not be handled');
    return answer;
  }
}

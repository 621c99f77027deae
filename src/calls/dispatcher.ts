import { randomUUID } from 'node:crypto';
import { RouterError } from '../errors.ts';
import type { MemoryBudget, MemoryReservation } from '../memory-budget.ts';
import { callersNames } from '../schemas/names.ts';
import { checkTeamId } from '../teams/management/team-service.ts';
import { endOf } from './abort/call-signal.ts';
import type { Affinity } from './affinity/affinity-store.ts';
import { rememberMade } from './affinity/record.ts';
import { type Answer, asRouterError, errorAnswer } from './answer.ts';
import { CallSettings } from './attempts/call-policy.ts';
import { fallBack, goesOn } from './attempts/fallback.ts';
import { attempt } from './attempts/retry.ts';
import type { BodyLimits } from './body/buffered-body.ts';
import type { Call, Content } from './call.ts';
import { Journey, type Passages } from './call-context.ts';
import { readRequest } from './read-request.ts';
import { ReceiptDraft } from './receipt/receipt.ts';
import { addCallHeaders } from './receipt/response-headers.ts';
import { adviseAgainstRetries } from './response/client-retries.ts';
import { type Reply, wholeReply } from './response/relay.ts';
import { answerLocally } from './routing/list-models.ts';
import { type Caller, resolve } from './routing/resolve.ts';
import { isUnread, openBody } from './routing/unread-body.ts';

export interface DispatcherOptions extends Passages {
  affinity: Affinity;
  budget: MemoryBudget;
  limits: BodyLimits;
}

/**
 * The one pipeline that all calls take: resolve, admit, pick a deployment, send with its secret, relay the bytes.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** Failures are answers; it rejects only when the caller's own signal aborts, or for a team's id that is none. */
  async dispatch(given: Caller, call: Call): Promise<Answer> {
    const caller = checkedCaller(given);
    const { now, reporter, work } = this.#options;
    const receipt = new ReceiptDraft(randomUUID(), caller.teamId, now, reporter.context());
    const reservation = call.reservation ?? this.#options.budget.open(caller.teamId);
    let entered = false;
    const ended = () => {
      // What another opened, another releases.
      if (call.reservation === undefined) reservation.release();
      if (entered) work.leave();
      entered = false;
    };
    let reply: Reply;
    let hint: string | undefined;
    try {
      work.enter();
      entered = true;
      reply = await this.#reply(caller, call, receipt, reservation, ended);
    } catch (error) {
      ended();
      if (call.signal?.aborted) {
        const { status, code } = endOf(call.signal);
        if (receipt.finish()) reporter.report(receipt.at(status, code), receipt.context);
        throw call.signal.reason;
      }
      if (!RouterError.isInstance(error)) reporter.unforeseen(receipt, error);
      const known = asRouterError(error);
      hint = known.hint;
      reply = failureReply(known);
    }
    const { answer, open, code, tokens } = reply;
    const begun = receipt.at(answer.status, code, tokens);
    if (!open) {
      ended();
      if (receipt.finish()) reporter.report(begun, receipt.context, hint);
    }
    try {
      adviseAgainstRetries(reply, begun.attempts.length);
      addCallHeaders(answer.headers, begun);
    } catch (error) {
      reporter.unforeseen(receipt, error);
    }
    return answer;
  }

  async #reply(
    caller: Caller,
    given: Call,
    receipt: ReceiptDraft,
    reservation: MemoryReservation,
    ended: () => void,
  ): Promise<Reply> {
    const { admission, affinity, limits, now, reporter } = this.#options;
    given.signal?.throwIfAborted();
    if (isUnread(given)) {
      const found = admission.directory(caller);
      admission.refuseUnread(found instanceof Promise ? await found : found, caller, given);
    }
    const opening = openBody(given, limits, reservation);
    const { body, understood } = opening instanceof Promise ? await opening : opening;
    const read = readRequest(given, body, limits, caller.teamId);
    const request = read instanceof Promise ? await read : read;
    understood();
    try {
      // Read anew where the body took its time: what was changed meanwhile counts.
      const found = admission.directory(caller);
      const directory = found instanceof Promise ? await found : found;
      if (request.endpoint.local) return wholeReply(answerLocally(request, caller, directory));
      const call = controlled(given, request.content);
      receipt.tags = request.content.tags;
      const settings = new CallSettings(call, directory.team?.settings, now, receipt.startedAt);
      for (const name of settings.named) resolve(directory, caller, name);
      const journey = new Journey(this.#options, caller, call, request, settings, receipt, directory);
      journey.hold(reservation, ended);
      const { outcome: first, name } = await attempt(journey, undefined);
      receipt.turnedTo(name);
      const outcome = goesOn(first) ? await fallBack(journey, first, name) : first;
      receipt.answeredBy(outcome.deployment);
      if ('error' in outcome) throw outcome.error;
      const { deployment, reply } = outcome;
      if (deployment !== undefined && request.endpoint.makes.length > 0) {
        try {
          const { directory: known } = journey;
          reply.answer = await rememberMade(affinity, known.team, request, deployment, reply.answer);
        } catch (error) {
          // The answer is paid for: what fails now must not take it away.
          reporter.unforeseen(receipt, error);
        }
      }
      return reply;
    } finally {
      request.content.release();
    }
  }
}

/** A call with what its body asks of the router, where its own options do not say otherwise. */
function controlled(call: Call, { controls }: Content): Call {
  if (controls === undefined) return call;
  const { fallbacks = controls.fallbacks, numRetries = controls.numRetries } = call;
  const { timeoutMs = controls.timeoutMs } = call;
  return {
    ...call,
    ...(fallbacks !== undefined && { fallbacks }),
    ...(numRetries !== undefined && { numRetries }),
    ...(timeoutMs !== undefined && { timeoutMs }),
  };
}

/** A copy: whom a call is made for does not change on its way. */
function checkedCaller({ teamId, models }: Caller): Caller {
  const caller: Caller = { teamId: teamId === null ? null : checkTeamId(teamId) };
  const names = callersNames(models, invalidModels);
  if (names !== null) caller.models = names;
  return caller;
}

function invalidModels(problem: string): RouterError {
  return new RouterError('invalid_request', `models: ${problem}`, { param: 'models' });
}

function failureReply(error: RouterError): Reply {
  return wholeReply(errorAnswer(error), error.code);
}

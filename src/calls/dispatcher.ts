import { randomUUID } from 'node:crypto';
import { RouterError } from '../errors.ts';
import type { MemoryBudget, MemoryReservation } from '../memory-budget.ts';
import { callersNames } from '../schemas/names.ts';
import { checkTeamId } from '../teams/management/team-service.ts';
import { endOf } from './abort/call-signal.ts';
import type { Cancel } from './abort/cancel.ts';
import type { AffinityStore } from './affinity/affinity-store.ts';
import { rememberCreatedObjects } from './affinity/record.ts';
import { type Answer, asRouterError, errorAnswer } from './answer.ts';
import { fallBack, isRetryable } from './attempts/fallback.ts';
import { attempt } from './attempts/retry.ts';
import type { BodyLimits, RequestBody } from './body/request-body.ts';
import type { Call } from './call.ts';
import { asksForStream, CallContext, type CallServices } from './call-context.ts';
import type { UnknownCalls } from './endpoints/unknown.ts';
import { readRequest } from './read-request.ts';
import { ReceiptBuilder } from './receipt/receipt.ts';
import { addCallHeaders } from './receipt/response-headers.ts';
import { adviseAgainstRetries } from './response/client-retries.ts';
import { type CallResult, wholeResult } from './response/relay.ts';
import type { ModelResolver } from './routing/authorize.ts';
import { bodyDeadline } from './routing/body-deadline.ts';
import { givenTags, givenUser, headerTags } from './routing/call-labels.ts';
import { CallPolicy, headerMs } from './routing/call-policy.ts';
import { listModels } from './routing/list-models.ts';
import { type Caller, checkUnrestricted, resolve } from './routing/resolve.ts';
import { isUnread, openBody } from './routing/unread-body.ts';

export interface DispatcherOptions extends CallServices {
  resolver: ModelResolver;
  affinity: AffinityStore;
  budget: MemoryBudget;
  limits: BodyLimits;
  /** Default `forward`. */
  unknownCalls?: UnknownCalls;
}

/**
 * The one pipeline that all calls take: resolve, admit, pick a deployment, send with its secret, relay the bytes.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /**
   * Dispatches a call. Failures are answers. Rejects only if the caller's signal aborts, or for an invalid team
   * id.
   */
  async dispatch(given: Caller, call: Call): Promise<Answer> {
    let caller: Caller;
    try {
      caller = checkedCaller(given);
    } catch (error) {
      if (RouterError.isInstance(error) && error.param === 'models') return errorAnswer(error);
      throw error;
    }
    const { now, reporter, work } = this.#options;
    const receipt = new ReceiptBuilder(randomUUID(), caller.teamId, now, reporter.context());
    const reservation = call.reservation ?? this.#options.budget.open(caller.teamId);
    let entered = false;
    let deadline: Cancel | undefined;
    const ended = () => {
      deadline?.release();
      // What another opened, another releases.
      if (call.reservation === undefined) reservation.release();
      if (entered) work.leave();
      entered = false;
    };
    let reply: CallResult;
    let hint: string | undefined;
    try {
      work.enter();
      entered = true;
      deadline = bodyDeadline(call, now() - receipt.startedAt);
      reply = await this.#reply(caller, call, deadline, receipt, reservation, ended);
    } catch (error) {
      ended();
      if (call.signal?.aborted) {
        const { status, code } = endOf(call.signal);
        reporter.finish(receipt, receipt.snapshot(status, code));
        throw call.signal.reason;
      }
      if (!RouterError.isInstance(error)) reporter.unforeseen(receipt, error);
      const known = asRouterError(error);
      hint = known.hint;
      reply = failureReply(known);
    }
    const { answer, open, code, report } = reply;
    const begun = receipt.snapshot(answer.status, code, report);
    if (!open) {
      ended();
      reporter.finish(receipt, begun, hint);
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
    deadline: Cancel | undefined,
    receipt: ReceiptBuilder,
    reservation: MemoryReservation,
    ended: () => void,
  ): Promise<CallResult> {
    const { resolver, affinity, limits, unknownCalls = 'forward', now, reporter } = this.#options;
    given.signal?.throwIfAborted();
    if (isUnread(given))
      resolver.refuseUnread(await resolver.visibleModels(caller), caller, given, unknownCalls);
    const reading = deadline === undefined ? given : { ...given, signal: deadline };
    const { body, understood } = await openBody(reading, limits, reservation, caller.teamId);
    const request = await readRequest(reading, body, limits, caller.teamId, unknownCalls);
    checkUnrestricted(caller, request.endpoint);
    deadline?.inTime();
    understood();
    try {
      // Read again after a slow body, so that changes made meanwhile apply.
      const models = await resolver.visibleModels(caller);
      if (request.endpoint.local) return wholeResult(listModels(request, caller, models));
      const call = controlled(given, request.body);
      receipt.tags = givenTags(given) ?? request.body.tags ?? headerTags(given);
      receipt.userId = givenUser(given) ?? caller.userId;
      receipt.setRequest(request.endpoint.id, asksForStream(request) === true);
      const policy = new CallPolicy(call, models.team?.settings, now, receipt.startedAt);
      for (const name of policy.named) resolve(models, caller, name);
      const services = this.#options;
      const context = new CallContext({
        services,
        caller,
        call,
        request,
        policy,
        receipt,
        models,
        reservation,
        release: ended,
      });
      const { outcome: first, name } = await attempt(context, undefined);
      receipt.setRequestedModel(name);
      const outcome = isRetryable(first) ? await fallBack(context, first, name) : first;
      receipt.setDeployment(outcome.deployment);
      if ('error' in outcome) throw outcome.error;
      const { deployment, reply } = outcome;
      if (deployment !== undefined && request.endpoint.createsIds.length > 0) {
        try {
          const { models: known } = context;
          reply.answer = await rememberCreatedObjects(
            affinity,
            known.team,
            request,
            deployment,
            reply.answer,
          );
        } catch (error) {
          // The answer is paid for: what fails now must not take it away.
          reporter.unforeseen(receipt, error);
        }
      }
      return reply;
    } finally {
      request.body.release();
    }
  }
}

/** A call with what its body asks of the router, where its own options do not say otherwise. */
function controlled(call: Call, { controls }: RequestBody): Call {
  const streamTimeoutMs = controls?.streamTimeoutMs ?? headerMs(call, 'x-litellm-stream-timeout');
  if (controls === undefined) return streamTimeoutMs === undefined ? call : { ...call, streamTimeoutMs };
  const { fallbacks = controls.fallbacks, numRetries = controls.numRetries } = call;
  const { timeoutMs = controls.timeoutMs } = call;
  return {
    ...call,
    ...(fallbacks !== undefined && { fallbacks }),
    ...(numRetries !== undefined && { numRetries }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(streamTimeoutMs !== undefined && { streamTimeoutMs }),
  };
}

/** Copies the caller, so that later changes by the application do not affect the call. */
export function checkedCaller({ teamId, models, mayManage = true, keyId, userId }: Caller): Caller {
  const caller: Caller = { teamId: teamId === null ? null : checkTeamId(teamId) };
  if (models !== undefined && models !== null && !isListOfNames(models))
    throw invalidModels('must be a list of model names.');
  const names = callersNames(models, invalidModels);
  if (names !== null) caller.models = names;
  if (!mayManage) caller.mayManage = false;
  if (keyId !== undefined) caller.keyId = keyId;
  if (userId !== undefined) caller.userId = userId;
  return caller;
}

function isListOfNames(models: unknown): boolean {
  return Array.isArray(models) && models.every((name) => typeof name === 'string');
}

function invalidModels(problem: string): RouterError {
  return new RouterError('invalid_request', `models: ${problem}`, { param: 'models' });
}

function failureReply(error: RouterError): CallResult {
  return wholeResult(errorAnswer(error), error.code);
}

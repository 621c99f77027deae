import type { MemoryReservation } from '../memory-budget.ts';
import type { CallSignal } from './abort/call-signal.ts';
import type { RequestBody, UnreadBody } from './body/request-body.ts';
import type { Endpoint } from './endpoints/match.ts';
import { pathReferences } from './json/object-ids.ts';

/**
 * One call, from a fetch or from a socket.
 *
 * @example
 * ```ts
 * const call: Call = {
 *   method: 'GET',
 *   path: '/v1/models',
 *   query: new URLSearchParams(),
 *   headers: new Headers(),
 * };
 * const answer = await router.dispatch({ teamId: 'acme' }, call);
 * ```
 */
export interface Call {
  method: string;
  /** The path without its query, with or without `/v1`. */
  path: string;
  query: URLSearchParams;
  headers: { get(name: string): string | null };
  body?: UnreadBody | undefined;
  /**
   * Reads the body once the caller is admitted, in place of `body`. It counts the bytes that it holds; a stream that
   * it returns is counted as it is read.
   *
   * @param limit bytes that the body may have
   */
  readBody?: (
    limit: number,
    reservation: MemoryReservation,
  ) => Promise<Uint8Array | AsyncIterable<Uint8Array> | undefined>;
  /**
   * Reservation that counts the call's bytes, if the caller releases it. Absent: the router creates and
   * releases one.
   */
  reservation?: MemoryReservation;
  /** Length of a streamed body in bytes, if known. It is forwarded to the provider. */
  length?: number | undefined;
  /** Whether the caller sent the body chunked: a form stays chunked. */
  chunked?: boolean | undefined;
  signal?: CallSignal;
  /** The model of a call that names none. */
  defaultModel?: string;
  /** How many attempts may follow the first one; before the header `x-litellm-num-retries`. */
  numRetries?: number;
  /** Milliseconds until the first byte of the answer, all attempts together; before `x-litellm-timeout`, in seconds. */
  timeoutMs?: number;
  /** Milliseconds without a byte once the headers of the answer have arrived. */
  streamTimeoutMs?: number;
  /** The caller's tags, in place of those in the body and in `x-litellm-tags`. */
  tags?: readonly string[];
  /** The member of the team that calls, in place of the caller's `userId`. */
  userId?: string;
  /** Public names to try when the model fails, instead of the team's `fallbacks`. */
  fallbacks?: readonly string[];
}

/** A call understood: which endpoint, which model it names, and how its body reads for a deployment. */
export interface ModelRequest {
  endpoint: Endpoint;
  params: Record<string, string>;
  query: URLSearchParams;
  /** The name that the call carries in any place; `undefined` if none. */
  model: string | undefined;
  /** Whether the call itself says so, and not only a default. */
  explicitModel: boolean;
  /** Replaces the two above if the caller has no model of this name, because the name may be the provider's own. */
  otherwise?: { model: string | undefined; explicitModel: boolean };
  body: RequestBody;
}

/** The ids of the objects in the provider's account that a call speaks of, by its path or its body. */
export function referencesOf({ params, body: content }: ModelRequest): readonly string[] {
  const named = pathReferences(params);
  return named.length === 0 ? content.objectIds() : [...named, ...content.objectIds()];
}

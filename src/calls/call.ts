import type { RequestBody } from '../egress/transport.ts';
import type { RouterError } from '../errors.ts';
import type { MemoryReservation } from '../memory-budget.ts';
import type { Deployment } from '../teams/records/deployment.ts';
import type { CallSignal } from './abort/call-signal.ts';
import type { Endpoint } from './endpoints/match.ts';
import type { CallControls } from './json/call-controls.ts';
import { pathReferences } from './json/object-ids.ts';

/** One call as it comes in, from a fetch or from a socket. */
export interface Call {
  method: string;
  /** The path without its query, with or without `/v1`. */
  path: string;
  query: URLSearchParams;
  headers: { get(name: string): string | null };
  /** A body that comes in pieces is read as it is sent on, if it is a form; a JSON body is read whole first. */
  body?: string | Uint8Array | AsyncIterable<Uint8Array> | undefined;
  /**
   * Reads the body once the caller is admitted, in place of `body`. It counts the bytes that it holds; a stream that
   * it returns is counted as it is read.
   *
   * @param limit bytes that the body may have
   */
  readBody?: (
    limit: number,
    reservation: MemoryReservation,
  ) => Uint8Array | AsyncIterable<Uint8Array> | undefined | Promise<Uint8Array | undefined>;
  /** What the call's bytes are counted in, if whoever makes the call releases it. Absent: the router does both. */
  reservation?: MemoryReservation;
  /** Bytes of a body that comes in pieces, if they are known: the provider is told its length too. */
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
  /** Public names to go on to when the model fails, instead of the team's `fallbacks`. */
  fallbacks?: readonly string[];
}

/** What a call carries, as it reads for a deployment. */
export interface Content {
  /** The model that the body names. */
  name: string | undefined;
  stream: boolean;
  /** How many choices the call asks for, if it says so. */
  choices?: number;
  contentType: string | null;
  /** The error if this shared deployment may not serve it: it would leave or read something in the operator's account. */
  stateful(deployment: Deployment): RouterError | undefined;
  /** What its body asks of the router itself. */
  controls?: CallControls | undefined;
  /** What the caller tags it with, for the receipt. */
  tags?: readonly string[] | undefined;
  /** A list is one body in pieces. */
  bodyFor(deployment: Deployment): RequestBody | undefined;
  /** Bytes of a body for a deployment that is sent while it arrives, if they are known. */
  lengthFor(deployment: Deployment): number | undefined;
  /** The ids of objects in the provider's account that it speaks of. */
  references(): readonly string[];
  /** Whether the provider keeps what the call makes, as far as the body decides it. */
  keeps(): boolean;
  /** Whether the body can be sent again: not once a stream that was not held whole has begun to be read. */
  repeatable(): boolean;
  /** Lets go of a stream that nobody began to read. */
  release(): void;
}

/** A call understood: which endpoint, which model it names, and how its body reads for a deployment. */
export interface ModelRequest {
  endpoint: Endpoint;
  params: Record<string, string>;
  query: URLSearchParams;
  /** The name that the call carries, by whatever door; `undefined` if none. */
  name: string | undefined;
  /** Whether the call itself says so, and not only a default. */
  explicitModel: boolean;
  content: Content;
}

/** The ids of the objects in the provider's account that a call speaks of, by its path or its body. */
export function referencesOf({ params, content }: ModelRequest): readonly string[] {
  const named = pathReferences(params);
  return named.length === 0 ? content.references() : [...named, ...content.references()];
}

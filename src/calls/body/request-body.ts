import type { OutgoingBody } from '../../egress/transport.ts';
import type { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { Endpoint } from '../endpoints/match.ts';
import type { CallControls } from '../json/call-controls.ts';

/** A body before it is read. A form in chunks is sent while it arrives; a JSON body is read whole first. */
export type UnreadBody = string | Uint8Array | AsyncIterable<Uint8Array>;

/** The body of a call: what it says, and the bytes that a deployment gets. */
export interface RequestBody {
  /** The model that the body names. */
  readonly model: string | undefined;
  /** Whether the body asks for a stream of events; `undefined`: that part of it is still to arrive. */
  readonly stream: boolean | undefined;
  /** How many choices the body asks for; absent for a body that has no choices. */
  readonly choices?: number;
  /** The error of a call that needs a model, if the part of the body that may name it was not read. */
  readonly lateModel?: RouterError | undefined;
  readonly contentType: string | null;
  /** LiteLLM's call controls in the body, which address the router. */
  readonly controls?: CallControls | undefined;
  /** The bytes of a JSON body. */
  readonly sent?: Buffer;
  /** Returns the number of characters of the text in `input`. */
  characters?(): number | undefined;
  /** The caller's tags, for the receipt. */
  readonly tags?: readonly string[] | undefined;
  /** Returns the error if this shared deployment may not serve the body, because it is not known to be stateless. */
  statefulError(deployment: Deployment): RouterError | undefined;
  /** Returns the bytes that the deployment gets. An array is one body in pieces. */
  bytesFor(deployment: Deployment): OutgoingBody | undefined;
  /** Returns the number of bytes of a body that is sent while it arrives, if it is known. */
  lengthFor(deployment: Deployment): number | undefined;
  /** Returns the ids of objects in the provider's account that the body names. */
  objectIds(): readonly string[];
  /** Returns whether the provider stores the answer, as far as the body decides it. */
  keepsAnswer(): boolean;
  /** Returns whether the body can be sent again: a streamed body cannot, once the provider got a part of it. */
  isRepeatable(): boolean;
  /** Releases a stream that was not read. */
  release(): void;
}

/** Defaults of a body that is buffered whole and names no objects of the provider's account. */
export abstract class HeldBody {
  lengthFor(): number | undefined {
    return undefined;
  }

  objectIds(): readonly string[] {
    return [];
  }

  keepsAnswer(): boolean {
    return true;
  }

  isRepeatable(): boolean {
    return true;
  }

  release(): void {}
}

/** What is known of a call before its body is read. */
export interface BodyContext {
  /** The caller's team; `null`: the operator. */
  teamId: string | null;
  endpoint: Endpoint;
  method: string;
  contentType: string | null;
  /** The model that the query or a header names. */
  given: string | undefined;
  /** The model that the path names, which wins. */
  pathModel: string | undefined;
  /** The model of a call that names none. */
  defaultModel: string | undefined;
  /** The announced number of bytes of a streamed body. */
  length: number | undefined;
}

export interface BodyLimits {
  /** Maximum size of a form in bytes. */
  maxBodyBytes: number;
  /** Maximum size of any other body in bytes. */
  maxJsonBytes: number;
  /** Maximum number of bytes of a streamed form that are buffered to find its model. */
  maxHeldBytes: number;
}

/** Returns whether the path, the query, a header or the client's default names the model. */
export function isModelGiven({ pathModel, given, defaultModel }: BodyContext): boolean {
  return (pathModel ?? given ?? defaultModel) !== undefined;
}

/**
 * Returns whether a form is sent unchanged, because its API accepts a call that names no model.
 *
 * @param hasModel whether the form has a field `model`
 */
export function isUnnamed(context: BodyContext, hasModel: boolean): boolean {
  return context.endpoint.modelOptional && !hasModel && !writesGiven(context);
}

/**
 * Returns whether a model that the body does not name is written into it. If the model of a stateful call is optional,
 * the object that the call names has one already, and the name in the query or the header only selects the account.
 */
export function writesGiven(context: BodyContext): boolean {
  return isModelGiven(context) && !context.endpoint.stateful;
}

/**
 * Returns whether a model that the body names gives way to the deployment's own.
 *
 * @param model the name in the body
 */
export function isReplaced(
  endpoint: Endpoint,
  model: string | undefined,
  { id, publicName }: Pick<Deployment, 'id' | 'publicName'>,
): boolean {
  return endpoint.model !== 'known' || model === publicName || model === id;
}

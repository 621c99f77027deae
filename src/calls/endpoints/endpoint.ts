import type { Route } from '../../providers/provider.ts';

/**
 * The APIs whose streams differ in their events, and in the one that tells an error. `plain`: a stream whose events are
 * passed on without a judgement, because nothing says which one is its last.
 */
export type EventApi =
  | 'chat'
  | 'completion'
  | 'response'
  | 'image'
  | 'speech'
  | 'transcript'
  | 'thread'
  | 'plain';

/** One call of the OpenAI API. */
export interface Endpoint extends Route {
  /** The SDK's method, such as `chat.completions.create`. */
  id: string;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /**
   * Where the call carries its model. `provider`: the body's model is the provider's own, and is left alone. `known`: the
   * body's model is replaced if it is one of the caller's names, and is the provider's own otherwise.
   */
  model: 'json' | 'json_optional' | 'form' | 'path' | 'none' | 'provider' | 'known';
  /** Whether the API takes a call that names no model; then one that names none is sent as it came. */
  modelOptional: boolean;
  /** Whether its objects live in the provider's account: never on a shared deployment. */
  stateful: boolean;
  /** Answered by the router itself. */
  local: boolean;
  /** Whose events its answer may consist of; `undefined`: it never is an event stream. */
  streams: EventApi | undefined;
  /**
   * Type of its response. `bytes` and `text` are content, which is not checked; `text` may also be JSON. `any` is not checked
   * either, and is a stream of events if its content type says so.
   */
  answer: 'json' | 'bytes' | 'text' | 'any';
  /** The content type of a body that is neither JSON nor a form, and is sent as it came. `*`: any. */
  rawBody?: string | undefined;
  /** Where an event carries what was used; a whole answer carries it in `usage`. `undefined`: it says nothing of it. */
  usage: 'usage' | 'response.usage' | undefined;
  /** Where the answer names objects that now live in the provider's account; in an event under `response`, if it has one. */
  createsIds: readonly string[];
}

export interface Traits {
  query?: string;
  streams?: EventApi;
  answer?: 'bytes' | 'text';
  usage?: Endpoint['usage'];
  createsIds?: string;
  rawBody?: string;
}

/** One line of the table. */
export type Row = readonly [
  id: string,
  route: `${Endpoint['method']} /${string}`,
  model: Endpoint['model'],
  traits?: Traits,
];

const paging = 'limit after before order';

/** Returns the traits of a list, with the query parameters that it has besides those of every list. */
export function listed(more = ''): Traits {
  return { query: more === '' ? paging : `${paging} ${more}` };
}

/** The traits of a call that creates one object. */
export const created: Traits = { createsIds: 'id' };

/** The traits of a call whose answer is the content of a file. */
export const content: Traits = { answer: 'bytes' };

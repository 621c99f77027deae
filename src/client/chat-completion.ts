import type { APIPromise, OpenAI } from 'openai';
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionCreateParams,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionCreateParamsStreaming,
} from 'openai/resources/chat/completions';
import type { Stream } from 'openai/streaming';
import { RouterError } from '../errors.ts';
import { asCaller, type CallOptions, callOptionFault } from './team-client.ts';

/**
 * The OpenAI client's `chat.completions.create`, with its overloads, for a team.
 *
 * @example
 * ```ts
 * const answer = await router.chatCompletion('acme', { model: 'assistant', messages });
 * const stream = await router.chatCompletion('acme', { model: 'assistant', messages, stream: true });
 * for await (const chunk of stream) console.log(chunk.choices[0]?.delta.content);
 * ```
 */
export interface TeamChatCompletion {
  (
    teamId: string,
    body: ChatCompletionCreateParamsNonStreaming,
    options?: CallOptions,
  ): APIPromise<ChatCompletion>;
  (
    teamId: string,
    body: ChatCompletionCreateParamsStreaming,
    options?: CallOptions,
  ): APIPromise<Stream<ChatCompletionChunk>>;
  (
    teamId: string,
    body: ChatCompletionCreateParams,
    options?: CallOptions,
  ): APIPromise<ChatCompletion | Stream<ChatCompletionChunk>>;
}

/** @param isClosed whether the router rejects every call, so that its error reports no other problem */
export function chatCompletionOf(client: OpenAI, isClosed: () => boolean): TeamChatCompletion {
  const create = (teamId: string, body: ChatCompletionCreateParams, options?: CallOptions) => {
    const fault = bodyFault(body) ?? (options && callOptionFault(options));
    const asTeam = asCaller({ teamId }, options, isClosed() ? undefined : fault);
    // The client reads the body before it sends it, so the call that rejects has a valid one.
    const sent = bodyFault(body) === undefined ? body : { model: '', messages: [] };
    return client.chat.completions.create(sent, asTeam);
  };
  return create as TeamChatCompletion;
}

function bodyFault(body: unknown): RouterError | undefined {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return undefined;
  const message = 'body: must be an object. Pass the parameters of the call as the second argument.';
  return new RouterError('invalid_request', message, { param: 'body' });
}

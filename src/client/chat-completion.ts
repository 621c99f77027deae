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
import { asCaller, type CallOptions } from './team-client.ts';

/** The OpenAI client's own call, with its overloads, for a team. */
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

export function chatCompletionOf(client: OpenAI): TeamChatCompletion {
  const create = (teamId: string, body: ChatCompletionCreateParams, options?: CallOptions) => {
    if (typeof body === 'object' && body !== null && !Array.isArray(body))
      return client.chat.completions.create(body, asCaller({ teamId }, options));
    const message = 'body: must be an object. Pass the parameters of the call as the second argument.';
    const fault = new RouterError('invalid_request', message, { param: 'body' });
    // The client reads the body before it sends it, so the call that rejects has a valid one.
    return client.chat.completions.create({ model: '', messages: [] }, asCaller({ teamId }, options, fault));
  };
  return create as TeamChatCompletion;
}

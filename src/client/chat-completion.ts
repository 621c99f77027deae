import type { APIPromise, OpenAI } from 'openai';
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionCreateParams,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionCreateParamsStreaming,
} from 'openai/resources/chat/completions';
import type { Stream } from 'openai/streaming';
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
  const create = (teamId: string, body: ChatCompletionCreateParams, options?: CallOptions) =>
    client.chat.completions.create(body, asCaller({ teamId }, options));
  return create as TeamChatCompletion;
}

import type { APIPromise, OpenAI } from 'openai';
import type { ChatCompletion, ChatCompletionChunk } from 'openai/resources/chat/completions';
import type { Stream } from 'openai/streaming';
import {
  type CallError,
  isRouterError,
  memoryStorage,
  type RouterError,
  type RouterErrorCode,
  type RouterOptions,
  TeamModelRouter,
} from 'team-model-router';
import { describe, expectTypeOf, it } from 'vitest';

declare const router: TeamModelRouter;
const model = 'assistant';
const messages = [{ role: 'user' as const, content: 'Hello' }];

describe('chatCompletion', () => {
  it('returns a completion without stream', () => {
    const plain = () => router.chatCompletion('acme', { model, messages });
    const whole = () => router.chatCompletion('acme', { model, messages, stream: false });
    expectTypeOf(plain).returns.toEqualTypeOf<APIPromise<ChatCompletion>>();
    expectTypeOf(whole).returns.toEqualTypeOf<APIPromise<ChatCompletion>>();
  });

  it('returns a stream of chunks with stream: true', () => {
    const call = () => router.chatCompletion('acme', { model, messages, stream: true });
    expectTypeOf(call).returns.toEqualTypeOf<APIPromise<Stream<ChatCompletionChunk>>>();
  });

  it('returns either if stream is a boolean that is not known', () => {
    const call = (stream: boolean) => router.chatCompletion('acme', { model, messages, stream });
    expectTypeOf(call).returns.toEqualTypeOf<APIPromise<ChatCompletion | Stream<ChatCompletionChunk>>>();
  });

  it('needs a model and messages, and takes no unknown option', () => {
    // @ts-expect-error: messages is required
    (() => router.chatCompletion('acme', { model }))();
    // @ts-expect-error: the team comes first
    (() => router.chatCompletion({ model, messages }))();
    // @ts-expect-error: is not an option
    (() => router.chatCompletion('acme', { model, messages }, { noSuchOption: 1 }))();
  });
});

describe('clients of a team', () => {
  it('are the OpenAI client and the standard fetch', () => {
    expectTypeOf(router.forTeam).returns.toEqualTypeOf<OpenAI>();
    expectTypeOf(router.fetchFor).returns.toEqualTypeOf<typeof fetch>();
    expectTypeOf(router.forTeam).parameter(0).toEqualTypeOf<string>();
  });
});

describe('RouterOptions', () => {
  it('needs a storage and encryption keys', () => {
    expectTypeOf<{ storage: ReturnType<typeof memoryStorage> }>().not.toExtend<RouterOptions>();
    expectTypeOf<{ encryptionKeys: [] }>().not.toExtend<RouterOptions>();
    expectTypeOf(TeamModelRouter).toBeConstructibleWith({ storage: memoryStorage(), encryptionKeys: [] });
    // @ts-expect-error: is not an option
    (() => new TeamModelRouter({ storage: memoryStorage(), encryptionKeys: [], noSuchOption: 1 }))();
  });
});

describe('isRouterError', () => {
  it('narrows an unknown error to one with a code of the router', () => {
    const narrowed = (error: unknown) => (isRouterError(error) ? error : undefined);
    expectTypeOf(narrowed).returns.toEqualTypeOf<RouterError | CallError | undefined>();
    const code = (error: unknown) => (isRouterError(error) ? error.code : undefined);
    expectTypeOf(code).returns.toEqualTypeOf<RouterErrorCode | undefined>();
  });
});

/** Type tests of the public API. `npm run typecheck` checks them. */
import type OpenAI from 'openai';
import type {
  CallError,
  ModelInfoView,
  ModelView,
  RouterError,
  RouterErrorCode,
  RouterOptions,
  TeamModelRouter,
} from 'team-model-router';
import { isRouterError } from 'team-model-router';
import { expectTypeOf } from 'vitest';

declare const router: TeamModelRouter;
declare const stream: boolean;
const call = { model: 'assistant', messages: [{ role: 'user' as const, content: 'Hello' }] };

type Completion = OpenAI.ChatCompletion;
type Chunks = AsyncIterable<OpenAI.ChatCompletionChunk>;

expectTypeOf(await router.chatCompletion('acme', call)).toExtend<Completion>();
expectTypeOf(await router.chatCompletion('acme', { ...call, stream: false })).toExtend<Completion>();
expectTypeOf(await router.chatCompletion('acme', { ...call, stream: true })).toExtend<Chunks>();
expectTypeOf(await router.chatCompletion('acme', { ...call, stream })).toExtend<Completion | Chunks>();

expectTypeOf(router.forTeam('acme')).toEqualTypeOf<OpenAI>();
expectTypeOf(router.fetchFor('acme')).toEqualTypeOf<typeof fetch>();
// @ts-expect-error a misspelt option
router.forTeam('acme', { defaultModl: 'assistant' });

// @ts-expect-error encryptionKeys is required
expectTypeOf<RouterOptions>({ storage: {} as RouterOptions['storage'] });

expectTypeOf(await router.addModel('acme', {} as never)).toEqualTypeOf<ModelView>();
expectTypeOf((await router.listModels('acme')).data).toEqualTypeOf<ModelInfoView[]>();
expectTypeOf<ModelView['litellm_params']['model']>().toEqualTypeOf<string>();

const error: unknown = undefined;
if (isRouterError(error)) {
  expectTypeOf(error).toEqualTypeOf<RouterError | CallError>();
  expectTypeOf(error.code).toEqualTypeOf<RouterErrorCode>();
}

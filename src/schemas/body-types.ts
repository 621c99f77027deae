import type { z } from 'zod';
import type { keyBody, keyPatch, keyType, modelBody, modelPatch, teamBody, teamPatch } from './bodies.ts';

/** Accepts `null` for every optional field, with the same meaning as an absent field. */
type OrNull<Body> = {
  [Field in keyof Body]: undefined extends Body[Field] ? Body[Field] | null : Body[Field];
};
type NewModel = z.input<typeof modelBody>;
type NewTeam = z.input<typeof teamBody>;

/**
 * What an API key permits: everything of a team, calls only, management only, or reading only.
 *
 * @example
 * ```ts
 * const keyType: KeyType = 'llm_api';
 * await router.createKey('acme', { key_type: keyType });
 * ```
 */
export type KeyType = z.output<typeof keyType>;

/**
 * The body of `createKey` and `POST /key/generate`.
 *
 * @example
 * ```ts
 * const body: KeyBody = { key_alias: 'support bot', key_type: 'llm_api', models: ['assistant'], duration: '30d' };
 * const { key } = await router.createKey('acme', body);
 * ```
 */
export type KeyBody = OrNull<z.input<typeof keyBody>>;

/**
 * The body of `updateKey` and `POST /key/update`. `null` clears a field.
 *
 * @example
 * ```ts
 * const patch: KeyPatch = { models: ['assistant'], duration: null };
 * await router.updateKey('acme', key, patch);
 * ```
 */
export type KeyPatch = z.input<typeof keyPatch>;

/**
 * The body of `addModel` and `POST /model/new`.
 *
 * @example
 * ```ts
 * const body: ModelBody = {
 *   model_name: 'assistant',
 *   litellm_params: { model: 'openai/gpt-4o', api_key: process.env.OPENAI_API_KEY },
 * };
 * await router.addModel('acme', body, { unique: true });
 * ```
 */
export interface ModelBody {
  model_name: string;
  litellm_params: OrNull<NewModel['litellm_params']>;
  model_info?: OrNull<NonNullable<NewModel['model_info']>> | null | undefined;
}

/**
 * The body of `updateModel` and `POST /model/update`. `null` clears a field.
 *
 * @example
 * ```ts
 * const patch: ModelPatch = { litellm_params: { timeout: 30, weight: null } };
 * await router.updateModel('acme', modelId, patch);
 * ```
 */
export type ModelPatch = z.input<typeof modelPatch>;

/**
 * The body of `createTeam` and `POST /team/new`.
 *
 * @example
 * ```ts
 * const body: TeamBody = { team_id: 'acme', models: ['shared-model'], settings: { num_retries: 1 } };
 * await router.createTeam(body);
 * ```
 */
export type TeamBody = OrNull<Omit<NewTeam, 'settings'>> & {
  settings?: OrNull<NonNullable<NewTeam['settings']>> | null | undefined;
};

/**
 * The body of `updateTeam` and `POST /team/update`. `null` clears a field.
 *
 * @example
 * ```ts
 * const patch: TeamPatch = { settings: { fallbacks: [{ assistant: ['backup'] }] } };
 * await router.updateTeam('acme', patch);
 * ```
 */
export type TeamPatch = z.input<typeof teamPatch>;

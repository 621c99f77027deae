import { z } from 'zod';
import { callerModels } from '../../schemas/names.ts';
import { parseOptions } from '../../schemas/parse.ts';

/**
 * Author of a change, recorded in `created_by` and `updated_by`.
 *
 * @example
 * ```ts
 * const actor: Actor = { userId: 'alice' };
 * await router.deleteModel('acme', modelId, actor);
 * ```
 */
export interface Actor {
  /** Default `default_user_id`, as LiteLLM documents it. */
  userId?: string;
  /** Public names of the models that the actor may change. Absent: all. */
  models?: readonly string[];
  /** Whether the actor is the operator. Only an operator may choose the id of a deployment. */
  operator?: boolean;
}

/**
 * Author of a change to a model, and the condition of the change.
 *
 * @example
 * ```ts
 * const options: ModelOptions = { userId: 'alice', unique: true };
 * await router.addModel('acme', body, options);
 * ```
 */
export interface ModelOptions extends Actor {
  /**
   * Rejects the change with `already_exists` if the team already has a model of this name. Default: the model
   * joins its pool.
   */
  unique?: boolean;
}

const actor = {
  userId: z.string().optional(),
  models: callerModels.optional(),
  operator: z.boolean().optional(),
};
const actorOptions = z.strictObject(actor);
const modelOptions = z.strictObject({ ...actor, unique: z.boolean().optional() });

const defaultUser = 'default_user_id';

/**
 * Returns the time and the author of a change.
 *
 * @throws RouterError `invalid_request` that names the invalid field of `actor`
 */
export function stampOf(given: Actor | undefined): { at: string; by: string } {
  return { at: new Date().toISOString(), by: checkActor(given).userId ?? defaultUser };
}

/**
 * Validates the options of a model change.
 *
 * @throws RouterError `invalid_request` that names the invalid field of `options`
 */
export function readModelOptions(given: ModelOptions | undefined): { actor: Actor; unique: boolean } {
  const { unique = false, ...who } = parseOptions(modelOptions, given);
  return { actor: who as Actor, unique };
}

/**
 * Validates an actor.
 *
 * @throws RouterError `invalid_request` that names the invalid field of `actor`
 */
export function checkActor(given: Actor | undefined): Actor {
  return parseOptions(actorOptions, given) as Actor;
}

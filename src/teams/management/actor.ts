import { z } from 'zod';
import { callerModels } from '../../schemas/names.ts';
import { parseOptions } from '../../schemas/parse.ts';

/**
 * Who makes a change, for `created_by` and `updated_by`.
 *
 * @example
 * ```ts
 * const actor: Actor = { userId: 'alice' };
 * await router.deleteModel('acme', modelId, actor);
 * ```
 */
export interface Actor {
  /** Default `default_user_id`, as documented. */
  userId?: string;
  /** The public names whose models may be touched; absent: all. */
  models?: readonly string[];
  /** The operator, who may bring the ids of deployments along; nobody else may choose one. */
  operator?: boolean;
}

/**
 * Who changes a model, and under which condition.
 *
 * @example
 * ```ts
 * const options: ModelOptions = { userId: 'alice', unique: true };
 * await router.addModel('acme', body, options);
 * ```
 */
export interface ModelOptions extends Actor {
  /** Refuses the change with `already_exists` if the team has a model of this name already. Default: the model joins its pool. */
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

/** @throws RouterError `invalid_request` that names the field of `actor` at fault */
export function stampOf(given: Actor | undefined): { at: string; by: string } {
  return { at: new Date().toISOString(), by: checkActor(given).userId ?? defaultUser };
}

/** @throws RouterError `invalid_request` that names the field of `options` at fault */
export function readModelOptions(given: ModelOptions | undefined): { actor: Actor; unique: boolean } {
  const { unique = false, ...who } = parseOptions(modelOptions, given);
  return { actor: who as Actor, unique };
}

/** @throws RouterError `invalid_request` that names the field of `actor` at fault */
export function checkActor(given: Actor | undefined): Actor {
  return parseOptions(actorOptions, given) as Actor;
}

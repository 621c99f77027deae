import type { z } from 'zod';
import { RouterError } from '../../errors.ts';
import { readApiBase } from '../../providers/api-base.ts';
import { checkCredentials } from '../../providers/entra.ts';
import { readModel, resolveTarget, type TargetParams } from '../../providers/provider.ts';
import { type ModelParams, modelBody, modelPatch } from '../../schemas/bodies.ts';
import { parse, refusalOf } from '../../schemas/parse.ts';
import { splitSecrets } from '../records/sealed-secrets.ts';

/**
 * Parses the body of a new model. Reports problems of its address in the same error.
 *
 * @param teamId team of the model, or `null` for a shared model; absent if it is not known yet
 */
export function parseModel<Schema extends z.ZodType = typeof modelBody>(
  given: unknown,
  { teamId, schema = modelBody as z.ZodType as Schema }: { teamId?: string | null; schema?: Schema } = {},
): z.output<Schema> {
  return parse(schema, given, (value, isRefused) => [
    ...ownerProblems(teamId, value),
    ...targetProblems(paramsIn(value, isRefused)),
  ]);
}

/** Parses the body of a change. Checks no address for completeness, because the stored fields complete it. */
export function parseModelPatch<Schema extends z.ZodType = typeof modelPatch>(
  given: unknown,
  schema: Schema = modelPatch as z.ZodType as Schema,
): z.output<Schema> {
  return parse(schema, given, (value, isRefused) => {
    const { api_base, custom_llm_provider } = paramsIn(value, isRefused);
    return targetProblems({ api_base, custom_llm_provider });
  });
}

/** Returns the problems of the team that a body names. */
export function ownerProblems(teamId: string | null | undefined, body: unknown): RouterError[] {
  const { model_info } = (body ?? {}) as { model_info?: { team_id?: unknown } | null };
  const given = model_info?.team_id;
  if (teamId === undefined || typeof given !== 'string' || given === teamId) return [];
  const message = 'model_info.team_id: must be the team of the model';
  return [new RouterError('invalid_request', message, { param: 'model_info.team_id' })];
}

/** Returns the problems of a new model's params that their schema does not report. */
export function paramProblems(params: ModelParams, checkBase: (base: string) => void): RouterError[] {
  const problems = targetProblems(params);
  if (problems.length > 0) return problems;
  const target = resolveTarget(params);
  return [
    refusalOf(() => checkCredentials(target, params, new Set(splitSecrets(params).secrets.keys()))),
    refusalOf(() => checkBase(target.base)),
  ].filter((problem) => problem !== undefined);
}

/**
 * Returns the problems of each field that determines an address. Without a `model`, checks the other fields
 * only.
 */
export function targetProblems(params: Partial<TargetParams>): RouterError[] {
  const { model, api_base: base } = params;
  const problems = [
    refusalOf(() => readModel({ ...params, model: model ?? 'any' })),
    base === undefined ? undefined : refusalOf(() => readApiBase(base)),
    model === undefined ? undefined : refusalOf(() => resolveTarget({ ...params, model })),
  ].filter((problem) => problem !== undefined);
  // The last problem repeats one of the others if there are others.
  return problems.filter(({ param }, at) => problems.findIndex((each) => each.param === param) === at);
}

/** Returns the valid fields that determine an address. */
function paramsIn(value: unknown, isRefused: (param: string) => boolean): Partial<TargetParams> {
  const { litellm_params: params } = (value ?? {}) as { litellm_params?: unknown };
  if (typeof params !== 'object' || params === null) return {};
  const fields = ['model', 'custom_llm_provider', 'api_base', 'api_version'] as const;
  const taken = fields.filter((field) => {
    const given = (params as TargetParams)[field];
    return given !== undefined && given !== null && !isRefused(`litellm_params.${field}`);
  });
  // If a field is invalid, completeness of the address is unknown.
  const whole = fields.every((field) => !isRefused(`litellm_params.${field}`));
  return Object.fromEntries(
    taken
      .filter((field) => whole || field !== 'model')
      .map((field) => [field, (params as TargetParams)[field]]),
  );
}

import { z } from 'zod';
import { RouterError } from '../../errors.ts';
import { modelBody, modelPatch } from '../../schemas/bodies.ts';
import { allows } from '../../schemas/names.ts';
import { parse } from '../../schemas/parse.ts';
import { modelNotFound } from '../../teams/management/edit-model.ts';
import { parseModel, parseModelPatch } from '../../teams/management/model-problems.ts';
import { isWhole } from '../../teams/management/model-service.ts';
import { teamOf, toActor, toCaller } from '../auth/principal.ts';
import { ListAnswer } from './list-answer.ts';
import { pageOf, paging, positionOf } from './paging.ts';
import { ownerOf, type Route, type RouteRequest, route } from './route.ts';

const id = z.string().min(1).max(256);
const byId = z.strictObject({ id });
/** Takes only the id, because any other field could redirect a stored secret. */
const byInfoId = z.strictObject({
  model_info: z.strictObject({ id }),
  model_name: z.never().optional(),
  litellm_params: z.never().optional(),
});
const isUnique = z.boolean().default(false);
const addition = modelBody.extend({ unique: isUnique });
const patch = modelPatch.extend({ unique: isUnique });
/** The id may be in both places. */
const update = patch.extend({ id: id.optional() });
const modelInfo = modelBody.shape.model_info.unwrap();
/** A model to test may have no name, and may have `mode` where LiteLLM has it. */
const trial = modelBody.extend({
  model_name: modelBody.shape.model_name.optional(),
  mode: modelInfo.shape.mode,
});
const listing = paging.extend({ litellm_model_id: id.optional(), team_id: z.string().optional() });
/** Name of a test model without a name. */
const unnamed = 'test';
const byGroup = z.strictObject({ model_group: id.optional() });

/**
 * Routes of `/model/...`. A team's key uses its team's models; the master key uses any team's models and the
 * shared ones.
 */
export const modelRoutes: readonly Route[] = [
  route({
    method: 'POST',
    paths: ['/model/new', '/model/add'],
    permission: 'models',
    summary: 'Adds a model to a team, or, with the master key and without a team_id, a shared one',
    body: addition,
    readBody: (given) => parseModel(given, { schema: addition }),
    async run({ router, principal, body: { unique, ...body } }) {
      const given = body.model_info?.team_id;
      const options = { ...toActor(principal), unique };
      if (!principal.master) return router.addModel(teamOf(principal, given), body, options);
      return given === undefined
        ? router.addSharedModel(body, options)
        : router.addModel(given, body, options);
    },
  }),
  route({
    method: 'POST',
    paths: ['/model/update'],
    permission: 'models',
    summary: 'Changes the fields that are sent; null clears a field; a new model_name renames',
    body: update,
    readBody: (given) => parseModelPatch(given, update),
    run: ({ body: { id, ...body }, ...request }) =>
      change({ ...request, body }, idOf(id, body.model_info?.id)),
  }),
  route({
    method: 'PATCH',
    paths: ['/model/{id}/update'],
    permission: 'models',
    summary: 'Changes the fields that are sent; null clears a field; a new model_name renames',
    body: patch,
    readBody: (given) => parseModelPatch(given, patch),
    run: (request) => change(request, request.params.id ?? ''),
  }),
  route({
    method: 'POST',
    paths: ['/model/delete'],
    permission: 'models',
    summary: 'Removes a model',
    body: byId,
    run: (request) => remove(request, request.body.id),
  }),
  route({
    method: 'DELETE',
    paths: ['/model/{id}'],
    permission: 'models',
    summary: 'Removes a model',
    run: (request) => remove(request, request.params.id ?? ''),
  }),
  route({
    method: 'GET',
    paths: ['/model/info', '/v1/model/info', '/v2/model/info'],
    permission: 'info',
    summary:
      "Lists a team's models, secrets masked; with the master key and without a team_id the shared ones",
    query: listing,
    run: list,
  }),
  route({
    method: 'GET',
    paths: ['/model_group/info'],
    permission: 'info',
    summary: 'The public names that the caller may use; with the master key the shared ones',
    query: byGroup,
    async run({ router, principal, query: { model_group: name } }) {
      const { data } = await router.listModelGroups(toCaller(principal));
      const found = data.filter(({ model_group }) => name === undefined || model_group === name);
      if (name !== undefined && found.length === 0) throw groupNotFound(name);
      return new ListAnswer({ data: found, total_count: found.length }, found.length);
    },
  }),
  route({
    method: 'POST',
    paths: ['/health/test_connection'],
    permission: 'models',
    summary: 'Sends one cheap call to a stored model, or to a new one',
    // Limited, because the route could otherwise map a network or test stolen keys.
    perMinute: 20,
    body: z.union([trial, byInfoId]),
    readBody: (given) =>
      isTrial(given) ? parseModel(given, { schema: trialFormOf(given) }) : parse(byInfoId, given),
    async run({ router, principal, body }) {
      const actor = toActor(principal);
      if (body.litellm_params === undefined) {
        const stored = { id: body.model_info.id };
        const owner = await ownerOf(router, principal, stored.id);
        if (owner === undefined) throw modelNotFound(stored.id);
        return owner === null ? router.testSharedModel(stored) : router.testModel(owner, stored, actor);
      }
      const { mode, model_name = unnamed, model_info, ...rest } = body;
      const model = {
        model_name,
        ...rest,
        model_info: { ...(mode === undefined ? {} : { mode }), ...model_info },
      };
      const given = model_info?.team_id;
      if (!principal.master) return router.testModel(teamOf(principal, given), model, actor);
      return given === undefined ? router.testSharedModel(model) : router.testModel(given, model);
    },
  }),
];

type Asked = Pick<RouteRequest<unknown, unknown>, 'router' | 'principal'>;

async function change(request: Asked & { body: z.output<typeof patch> }, modelId: string) {
  const {
    router,
    principal,
    body: { unique, ...body },
  } = request;
  if (!principal.master) teamOf(principal, body.model_info?.team_id);
  const owner = await ownerOf(router, principal, modelId);
  if (owner === undefined) throw modelNotFound(modelId);
  const options = { ...toActor(principal), unique };
  return owner === null
    ? router.updateSharedModel(modelId, body, options)
    : router.updateModel(owner, modelId, body, options);
}

async function remove({ router, principal }: Asked, modelId: string) {
  const owner = await ownerOf(router, principal, modelId);
  if (owner === undefined) throw modelNotFound(modelId);
  return owner === null
    ? router.deleteSharedModel(modelId)
    : router.deleteModel(owner, modelId, toActor(principal));
}

async function list({ router, principal, query }: Asked & { query: z.output<typeof listing> }) {
  const wanted = query.litellm_model_id;
  const given = query.team_id;
  let team: string | null | undefined = principal.master ? (given ?? null) : teamOf(principal, given);
  if (wanted !== undefined && given === undefined) team = await ownerOf(router, principal, wanted);
  if (team === undefined) throw modelNotFound(wanted ?? '', 'litellm_model_id');
  const { data } = team === null ? await router.listSharedModels() : await router.listModels(team);
  const visible = principal.master || principal.models === undefined ? undefined : principal.models;
  const rows = data.filter(({ model_name }) => allows(visible, model_name));
  const found = rows.filter(({ model_info }) => wanted === undefined || model_info.id === wanted);
  if (wanted !== undefined && found.length === 0) throw modelNotFound(wanted, 'litellm_model_id');
  const whole = query.page === undefined && query.size === undefined;
  const page = whole ? { size: Math.max(1, found.length) } : query;
  return new ListAnswer({ data: pageOf(found, page), ...positionOf(page, found.length) }, found.length);
}

/** Returns whether a body describes a model to test, and does not name a stored one. */
function isTrial(given: unknown): given is { model_info?: unknown } {
  return isWhole(given) || (typeof given === 'object' && given !== null && 'mode' in given);
}

/** Returns the schema for a body with an id, which either names a stored model or has a `model_name`. */
function trialFormOf(given: { model_info?: unknown }): typeof trial {
  const info: unknown = given.model_info;
  const hasId = typeof info === 'object' && info !== null && 'id' in info;
  return hasId ? (trial.required({ model_name: true }) as z.ZodType as typeof trial) : trial;
}

function idOf(id: string | undefined, infoId: string | undefined): string {
  if (id !== undefined && infoId !== undefined && id !== infoId) {
    throw new RouterError('invalid_request', 'id: must be the same as model_info.id', { param: 'id' });
  }
  const found = id ?? infoId;
  if (found !== undefined) return found;
  throw new RouterError('invalid_request', 'model_info.id: is required', { param: 'model_info.id' });
}

function groupNotFound(name: string): RouterError {
  const message = `Model ${JSON.stringify(name)} not found for this caller.`;
  return new RouterError('model_not_found', message, { param: 'model_group' });
}

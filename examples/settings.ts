/**
 * Saves a team's Azure deployment from a settings page, after one test call. Used by `express.ts` and `fastify.ts`.
 */
import { isRouterError, type ModelBody, type TeamModelRouter } from 'team-model-router';

/** The name of every team's model in this application. */
export const modelName = 'assistant';

/** What a settings page sends: a customer's own Azure deployment. */
export interface AzureSettings {
  deployment: string;
  api_base: string;
  api_key: string;
}

/** Tries the key with one cheap call, and saves it only if the call was answered. */
export async function saveAzureModel(
  router: TeamModelRouter,
  teamId: string,
  settings: Partial<AzureSettings>,
) {
  // What is missing is refused by the router, by the field's name.
  const { deployment = '', api_base, api_key } = settings;
  const body = {
    model_name: modelName,
    litellm_params: { model: `azure/${deployment}`, api_base, api_key },
  } satisfies ModelBody;
  const { status } = await router.testModel(teamId, body);
  if (status !== 'ok') return { saved: false, status };
  const { litellm_params } = await save(router, teamId, body);
  // Masked, as `sk-...cb07`: fit to be shown.
  return { saved: true, status, api_key: litellm_params.api_key };
}

/** Adds the team's model, or updates it if the team has one: two saves at the same time leave one model. */
async function save(router: TeamModelRouter, teamId: string, body: ModelBody) {
  try {
    return await router.addModel(teamId, body, { unique: true });
  } catch (error) {
    if (!isRouterError(error) || error.code !== 'already_exists') throw error;
    const { data } = await router.listModels(teamId);
    const saved = data.find(({ model_name }) => model_name === body.model_name);
    if (saved === undefined) throw error;
    return router.updateModel(teamId, saved.model_info.id, { litellm_params: body.litellm_params });
  }
}

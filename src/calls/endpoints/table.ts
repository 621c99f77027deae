import { account } from './account.ts';
import { agentSettings, agents } from './agents.ts';
import { assistants } from './assistants.ts';
import type { Endpoint, Row } from './endpoint.ts';
import { containers, files, vectorStores } from './files.ts';
import { media } from './media.ts';
import { sessions } from './realtime.ts';
import { storedAnswers } from './responses.ts';
import { stateless } from './stateless.ts';
import { evals, fineTuning } from './training.ts';

export type { Endpoint, EventApi } from './endpoint.ts';

/** What lives on in the provider's account. One team could read another's there. */
const stateful: readonly Row[] = [
  ...storedAnswers,
  ...files,
  ...fineTuning,
  ...vectorStores,
  ...containers,
  ...evals,
  ...media,
  ...sessions,
  ...assistants,
  ...agents,
  ...agentSettings,
  ...account,
];

const local: readonly Row[] = [
  ['models.list', 'GET /models', 'none'],
  ['models.retrieve', 'GET /models/{model}', 'path'],
];

/** The calls whose model may be left out, by OpenAI's specification. */
const optionalModel = new Set([
  'responses.inputTokens.count',
  'moderations.create',
  'images.generate',
  'images.edit',
  'images.createVariation',
  'videos.create',
  'realtime.calls.accept',
  'beta.realtime.sessions.create',
  'beta.assistants.update',
  'beta.threads.createAndRun',
  'beta.threads.runs.create',
  'beta.agents.update',
]);

/**
 * Calls that Azure serves under `/openai/deployments/{deployment}`. Azure serves the others under the account.
 */
const underDeployment = new Set([
  'chat.completions.create',
  'completions.create',
  'embeddings.create',
  'images.generate',
  'images.edit',
  'audio.speech.create',
  'audio.transcriptions.create',
  'audio.translations.create',
]);

const endpointOf = (
  [id, route, model, traits = {}]: Row,
  kind: { stateful: boolean; local: boolean },
): Endpoint => {
  const [method, path] = route.split(' ') as [Endpoint['method'], string];
  const azure = underDeployment.has(id) ? 'deployment' : 'account';
  const { query, streams, answer = 'json', usage, createsIds, rawBody } = traits;
  const lists = { query: query?.split(' ') ?? [], createsIds: createsIds?.split(' ') ?? [] };
  const modelOptional = optionalModel.has(id);
  return {
    id,
    method,
    path,
    model,
    modelOptional,
    azure,
    streams,
    answer,
    usage,
    rawBody,
    ...lists,
    ...kind,
  };
};

/** Every OpenAI call that the router takes. */
export const endpoints: readonly Endpoint[] = [
  ...stateless.map((row) => endpointOf(row, { stateful: false, local: false })),
  ...stateful.map((row) => endpointOf(row, { stateful: true, local: false })),
  ...local.map((row) => endpointOf(row, { stateful: false, local: true })),
];

import { teamBlocked } from '../../teams/team-blocked.ts';
import type { Answer } from '../answer.ts';
import type { ModelRequest } from '../call.ts';
import { type Caller, namesOf, type Pool, resolve, type VisibleModels } from './resolve.ts';

/** Answers what no provider is asked for: which models there are, by the caller's own names. */
export function listModels(request: ModelRequest, caller: Caller, models: VisibleModels): Answer {
  if (models.team?.blocked) throw teamBlocked();
  if (request.endpoint.id === 'models.retrieve') {
    return json(modelObject(resolve(models, caller, request.params.model ?? ''), caller));
  }
  const pools = namesOf(models, caller).map((name) => resolve(models, caller, name));
  const answer = json({ object: 'list', data: pools.map((pool) => modelObject(pool, caller)) });
  answer.headers['x-total-count'] = String(pools.length);
  return answer;
}

function modelObject({ publicName, deployments }: Pool, caller: Caller) {
  const created = Math.min(...deployments.map(({ createdAt }) => createdAt));
  return {
    id: publicName,
    object: 'model',
    created: Math.floor(created / 1000),
    owned_by: caller.teamId ?? 'shared',
  };
}

function json(value: unknown): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(value)),
  };
}

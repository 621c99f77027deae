import { RouterError } from '../../errors.ts';
import type { Answer } from '../answer.ts';
import type { ModelRequest } from '../call.ts';
import { type Caller, type Directory, namesOf, type Pool, resolve } from './resolve.ts';

/** Answers what no provider is asked for: which models there are, by the caller's own names. */
export function answerLocally(request: ModelRequest, caller: Caller, directory: Directory): Answer {
  if (directory.team?.blocked) throw new RouterError('team_blocked', 'This team is blocked.');
  if (request.endpoint.id === 'models.retrieve') {
    return json(modelObject(resolve(directory, caller, request.params.model ?? ''), caller));
  }
  const pools = namesOf(directory, caller).map((name) => resolve(directory, caller, name));
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

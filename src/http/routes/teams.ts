import { z } from 'zod';
import { RouterError } from '../../errors.ts';
import { teamBody, teamId, teamPatch } from '../../schemas/bodies.ts';
import { teamModels } from '../../schemas/names.ts';
import { namedTeam, toActor } from '../auth/principal.ts';
import { visibleTeamInfo } from './restricted-view.ts';
import { type Route, route } from './route.ts';

const named = z.strictObject({ team_id: teamId });
const names = z.strictObject({ team_id: teamId, models: teamModels });

/** A record that cannot be read may be deleted all the more. */
function unlessUnreadable(error: unknown): void {
  if (!RouterError.isInstance(error) || error.code !== 'corrupt_record') throw error;
}

/** `/team/...`: teams themselves are the operator's; a team reads its own. */
export const teamRoutes: readonly Route[] = [
  route({
    method: 'POST',
    paths: ['/team/new'],
    permission: 'master',
    summary: 'Makes a team; without a team_id one is minted',
    body: teamBody,
    run: ({ router, principal, body }) => router.createTeam(body, toActor(principal)),
  }),
  route({
    method: 'POST',
    paths: ['/team/update'],
    permission: 'master',
    summary: 'Changes what is sent; null clears',
    body: teamPatch.extend({ team_id: teamId }),
    async run({ router, principal, body }) {
      const team = await router.updateTeam(body.team_id, body, toActor(principal));
      return { ...team, data: team };
    },
  }),
  route({
    method: 'POST',
    paths: ['/team/block'],
    permission: 'master',
    summary: 'Refuses everything that the team and its keys ask for, until it is unblocked',
    body: named,
    run: ({ router, principal, body }) => router.blockTeam(body.team_id, toActor(principal)),
  }),
  route({
    method: 'POST',
    paths: ['/team/unblock'],
    permission: 'master',
    summary: 'Ends a block',
    body: named,
    run: ({ router, principal, body }) => router.unblockTeam(body.team_id, toActor(principal)),
  }),
  route({
    method: 'POST',
    paths: ['/team/delete'],
    permission: 'master',
    summary: 'Removes teams with their models, keys and aliases',
    body: z.strictObject({ team_ids: z.array(teamId).min(1).max(100) }),
    async run({ router, body }) {
      const ids = [...new Set(body.team_ids)];
      // An id that is not there removes nobody, as far as that can be known before.
      for (const id of ids) await router.getTeamInfo(id).catch(unlessUnreadable);
      const deleted: string[] = [];
      for (const id of ids) deleted.push(...(await router.deleteTeam(id)).deleted_teams);
      return { deleted_teams: deleted };
    },
  }),
  route({
    method: 'GET',
    paths: ['/team/info'],
    permission: 'info',
    summary: 'The team with its model_aliases and its keys',
    query: z.strictObject({ team_id: z.string().optional() }),
    run: async ({ router, principal, query }) =>
      visibleTeamInfo(await router.getTeamInfo(namedTeam(principal, query.team_id)), principal),
  }),
  route({
    method: 'POST',
    paths: ['/team/model/add'],
    permission: 'master',
    summary: 'Lets the team use these shared models too',
    body: names,
    run: ({ router, principal, body }) =>
      router.allowSharedModels(body.team_id, body.models, toActor(principal)),
  }),
  route({
    method: 'POST',
    paths: ['/team/model/delete'],
    permission: 'master',
    summary: 'Lets the team no longer use these shared models',
    body: names,
    run: ({ router, principal, body }) =>
      router.disallowSharedModels(body.team_id, body.models, toActor(principal)),
  }),
];

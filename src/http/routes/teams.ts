import { z } from 'zod';
import { RouterError } from '../../errors.ts';
import { teamBody, teamId, teamPatch } from '../../schemas/bodies.ts';
import { teamModels } from '../../schemas/names.ts';
import { namedTeam, toActor } from '../auth/principal.ts';
import { visibleTeamInfo } from './restricted-view.ts';
import { type Route, route } from './route.ts';

const named = z.strictObject({ team_id: teamId });
const names = z.strictObject({ team_id: teamId, models: teamModels });

/** Ignores the error for an unreadable record, which may be deleted. */
function unlessUnreadable(error: unknown): void {
  if (!RouterError.isInstance(error) || error.code !== 'corrupt_record') throw error;
}

/** Routes of `/team/...`. The operator manages teams; a team reads its own record. */
export const teamRoutes: readonly Route[] = [
  route({
    method: 'POST',
    paths: ['/team/new'],
    permission: 'master',
    summary: 'Creates a team; generates a team_id if none is sent',
    body: teamBody,
    run: ({ router, principal, body }) => router.createTeam(body, toActor(principal)),
  }),
  route({
    method: 'POST',
    paths: ['/team/update'],
    permission: 'master',
    summary: 'Changes the fields that are sent; null clears a field',
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
    summary: 'Blocks all requests of the team and its keys until it is unblocked',
    body: named,
    run: ({ router, principal, body }) => router.blockTeam(body.team_id, toActor(principal)),
  }),
  route({
    method: 'POST',
    paths: ['/team/unblock'],
    permission: 'master',
    summary: 'Unblocks a team',
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
      // Checks all ids before it removes any team, as far as possible.
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
    summary: 'Returns the team with its model_aliases and its keys',
    query: z.strictObject({ team_id: z.string().optional() }),
    run: async ({ router, principal, query }) =>
      visibleTeamInfo(await router.getTeamInfo(namedTeam(principal, query.team_id)), principal),
  }),
  route({
    method: 'POST',
    paths: ['/team/model/add'],
    permission: 'master',
    summary: 'Adds shared models to the allow-list of the team',
    body: names,
    run: ({ router, principal, body }) =>
      router.allowSharedModels(body.team_id, body.models, toActor(principal)),
  }),
  route({
    method: 'POST',
    paths: ['/team/model/delete'],
    permission: 'master',
    summary: 'Removes shared models from the allow-list of the team',
    body: names,
    run: ({ router, principal, body }) =>
      router.disallowSharedModels(body.team_id, body.models, toActor(principal)),
  }),
];

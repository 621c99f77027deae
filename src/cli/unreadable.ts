import type { TeamModelRouter } from '../index.ts';

const teamsLookedAt = 20;

/**
 * A model whose stored secret does not open, if the first few teams, or the shared models, have one: with a wrong
 * encryption key all of them are, and the first to notice would be a customer.
 */
export async function findUnreadable(
  router: TeamModelRouter,
): Promise<{ teamId: string | null; deploymentId: string } | undefined> {
  const { teams } = await router.listTeams({ limit: teamsLookedAt });
  for (const teamId of [null, ...teams.map(({ team_id }) => team_id)]) {
    const { data } = teamId === null ? await router.listSharedModels() : await router.listModels(teamId);
    const unreadable = data.find(({ model_info }) => model_info.needs_reentry === true);
    if (unreadable !== undefined) return { teamId, deploymentId: unreadable.model_info.id };
  }
  return undefined;
}

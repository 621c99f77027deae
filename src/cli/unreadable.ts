import type { TeamModelRouter } from '../index.ts';

const teamsLookedAt = 20;

/**
 * A model whose stored secret does not open, if the first few teams have one: with a wrong encryption key all of them are,
 * and the first to notice would be a customer.
 */
export async function findUnreadable(
  router: TeamModelRouter,
): Promise<{ teamId: string; deploymentId: string } | undefined> {
  const { teams } = await router.listTeams({ limit: teamsLookedAt });
  for (const { team_id: teamId } of teams) {
    const { data } = await router.listModels(teamId);
    const unreadable = data.find(({ model_info }) => model_info.needs_reentry === true);
    if (unreadable !== undefined) return { teamId, deploymentId: unreadable.model_info.id };
  }
  return undefined;
}

import type { TeamModelRouter } from '../index.ts';

const teamsLookedAt = 20;

/**
 * Returns a model whose stored secret cannot be decrypted, among the shared models and the first teams. With a wrong
 * encryption key every secret is unreadable, and the operator should notice before a customer does.
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

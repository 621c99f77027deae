import { RouterError, type TeamModelRouter } from '../index.ts';

const teamsLookedAt = 20;

/** What cannot be read among the shared models and the first teams. */
export interface Unreadable {
  /** A model whose stored secret cannot be decrypted. */
  secret?: { teamId: string | null; deploymentId: string };
  /** Teams whose records are damaged; `shared`: the shared models. A record that names no team is there as its key. */
  records: string[];
}

/**
 * Finds damaged records, and a model whose stored secret cannot be decrypted. With a wrong encryption key every secret is
 * unreadable, and the operator should notice before a customer does.
 *
 * @throws RouterError `storage_unavailable`
 */
export async function findUnreadable(router: TeamModelRouter): Promise<Unreadable> {
  const { teams, unreadable = [] } = await router.listTeams({ limit: teamsLookedAt });
  const found: Unreadable = { records: unreadable.map(({ team_id, key }) => team_id ?? key) };
  for (const teamId of [null, ...teams.map(({ team_id }) => team_id)]) {
    try {
      const { data } = teamId === null ? await router.listSharedModels() : await router.listModels(teamId);
      const model = data.find(({ model_info }) => model_info.needs_reentry === true);
      if (model !== undefined) return { ...found, secret: { teamId, deploymentId: model.model_info.id } };
    } catch (error) {
      // `listTeams` lists the record.
      if (!RouterError.isInstance(error) || error.code !== 'corrupt_record') throw error;
    }
  }
  return found;
}

import { allows } from '../../schemas/names.ts';
import type { TeamInfo } from '../../teams/management/views.ts';
import type { Principal, TeamPrincipal } from '../../teams/principal.ts';

/** Returns whether a principal may call only some models of its team, so that it sees only those. */
export function isRestricted(
  principal: Principal,
): principal is TeamPrincipal & { models: readonly string[] } {
  return !principal.master && principal.models !== undefined;
}

/**
 * Returns the part of its team that the principal may see: everything, or the models that it may call and its
 * own key.
 */
export function visibleTeamInfo(info: TeamInfo, principal: Principal): TeamInfo {
  if (!isRestricted(principal)) return info;
  const mayCall = (name: string) => allows(principal.models, name);
  const { team_info: team, keys } = info;
  const table = team.litellm_model_table;
  const aliases = Object.entries(table.model_aliases).filter(([name]) => mayCall(name));
  const { fallbacks, ...settings } = team.settings;
  const visible = fallbacks?.flatMap((lists) =>
    Object.entries(lists)
      .filter(([name]) => mayCall(name))
      .map(([name, others]) => Object.fromEntries([[name, others.filter(mayCall)]])),
  );
  return {
    ...info,
    team_info: {
      ...team,
      models: team.models.filter(mayCall),
      settings: { ...settings, ...(visible === undefined ? {} : { fallbacks: visible }) },
      litellm_model_table: { ...table, model_aliases: Object.fromEntries(aliases) },
    },
    keys: keys.filter(({ token }) => token === principal.token),
  };
}

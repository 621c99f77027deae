import { z } from 'zod';
import type { TeamModelRouter } from '../../router.ts';
import type { ListedTeam } from '../../teams/management/views.ts';
import type { UnreadableTeam } from '../../teams/records/listing.ts';
import { ListAnswer } from './list-answer.ts';
import { pageOf, paging, positionOf, readAll } from './paging.ts';
import { type Route, route } from './route.ts';

type Row = ListedTeam | UnreadableTeam;

const columns = ['team_id', 'team_alias', 'created_at'] as const;
type Column = (typeof columns)[number];

const filtered = paging.extend({
  page_size: paging.shape.size,
  sort_by: z.enum(columns).optional(),
  sort_order: z.enum(['asc', 'desc']).optional(),
  team_id: z.string().min(1).max(256).optional(),
  team_alias: z.string().min(1).max(256).optional(),
});

/** Routes that list teams, in LiteLLM's two forms. */
export const teamListRoutes: readonly Route[] = [
  route({
    method: 'GET',
    paths: ['/team/list'],
    permission: 'master',
    summary: 'Lists all teams with their keys; one page of them if the query has a page or a size',
    query: paging,
    async run({ router, query }) {
      const teams = sorted(await allTeams(router, { keys: true }), 'team_id');
      const whole = query.page === undefined && query.size === undefined;
      const rows = (whole ? teams : pageOf(teams, query)).map((team) => ({ ...team, team_memberships: [] }));
      return new ListAnswer(rows, teams.length);
    },
  }),
  route({
    method: 'GET',
    paths: ['/v2/team/list'],
    permission: 'master',
    summary: 'Lists one page of all teams, or of the teams with an id or a part of an alias',
    query: filtered,
    async run({ router, query: { page, size, page_size = size, sort_by, sort_order, team_id, team_alias } }) {
      const alias = team_alias?.toLowerCase();
      const isWanted = (team: Row) =>
        (team_id === undefined || team.team_id === team_id) &&
        (alias === undefined || textOf(team, 'team_alias').toLowerCase().includes(alias));
      const teams = sorted((await allTeams(router)).filter(isWanted), sort_by ?? 'team_id');
      if (sort_order === 'desc') teams.reverse();
      const asked = { page, size: page_size };
      const {
        total_count: total,
        current_page,
        total_pages,
        size: pageSize,
      } = positionOf(asked, teams.length);
      const rows = pageOf(teams, asked);
      return new ListAnswer(
        { teams: rows, total, page: current_page, page_size: pageSize, total_pages },
        total,
      );
    },
  }),
];

async function allTeams(router: TeamModelRouter, options: { keys?: boolean } = {}): Promise<Row[]> {
  const { rows } = await readAll<Row>(
    async (cursor) => {
      const page = await router.listTeams({ ...options, ...(cursor === undefined ? {} : { cursor }) });
      return { rows: [...page.teams, ...(page.unreadable ?? [])], cursor: page.cursor };
    },
    (row) => ('unreadable' in row ? `unreadable ${row.key}` : row.team_id),
  );
  return rows;
}

function textOf(team: Row, column: Column): string {
  return 'unreadable' in team && column !== 'team_id' ? '' : ((team as ListedTeam)[column] ?? '');
}

/** Returns rows sorted by a column, then by id. */
function sorted(teams: Row[], column: Column): Row[] {
  const keys = (team: Row) => [textOf(team, column), team.team_id ?? ''] as const;
  const compare = (one: string, other: string) => (one < other ? -1 : one > other ? 1 : 0);
  return teams.sort((one, other) => {
    const [[first, id], [second, otherId]] = [keys(one), keys(other)];
    return compare(first, second) || compare(id, otherId);
  });
}

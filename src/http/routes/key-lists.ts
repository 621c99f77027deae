import { z } from 'zod';
import { RouterError } from '../../errors.ts';
import type { TeamModelRouter } from '../../router.ts';
import { teamId } from '../../schemas/bodies.ts';
import { hashKey, isKey, type KeyView } from '../../teams/management/edit-key.ts';
import type { UnreadableTeam } from '../../teams/records/listing.ts';
import { ListAnswer } from './list-answer.ts';
import { isOn, paging, positionOf, readAll } from './paging.ts';
import { type Route, route } from './route.ts';

const text = z.string().min(1).max(256);

const listing = paging.extend({
  team_id: teamId.optional(),
  key_alias: text.optional(),
  key_hash: text.optional(),
  return_full_object: z.stringbool().optional(),
  /** Accepted and ignored, because every key belongs to a team. */
  include_team_keys: z.stringbool().optional(),
});

export const keyListRoutes: readonly Route[] = [
  route({
    method: 'GET',
    paths: ['/key/list'],
    permission: 'master',
    summary:
      'Lists one page of the keys of a team, or of all teams: hashes, or with return_full_object=true whole keys',
    query: listing,
    async run({ router, query: { team_id, key_alias, key_hash, return_full_object: full, ...page } }) {
      const hash = key_hash !== undefined && isKey(key_hash) ? hashKey(key_hash) : key_hash;
      const isWanted = (key: KeyView) =>
        (key_alias === undefined || key.key_alias === key_alias) &&
        (hash === undefined || key.token === hash);
      const { rows, total, unreadable } = await readKeys(router, team_id, isWanted, isOn(page));
      const body = {
        keys: full === true ? rows : rows.map(({ token }) => token),
        ...positionOf(page, total),
        ...(unreadable.length === 0 ? {} : { unreadable }),
      };
      return new ListAnswer(body, total);
    },
  }),
];

/**
 * Reads the keys of one team, or of all. `unreadable` lists the teams whose records, and so whose keys, cannot
 * be read.
 */
async function readKeys(
  router: TeamModelRouter,
  teamId: string | undefined,
  isWanted: (key: KeyView) => boolean,
  keep?: (place: number) => boolean,
) {
  const unreadable = new Map<string, UnreadableTeam>();
  const listing = await readAll<KeyView>(
    async (cursor) => {
      if (teamId !== undefined) return { rows: (await router.listKeys(teamId)).keys.filter(isWanted) };
      const page = await router.listAllKeys(cursor === undefined ? {} : { cursor });
      for (const team of page.unreadable ?? []) unreadable.set(team.key, team);
      return { rows: page.keys.filter(isWanted), cursor: page.cursor };
    },
    ({ token }) => token,
    keep,
  );
  return { ...listing, unreadable: [...unreadable.values()] };
}

/**
 * Finds keys by their aliases.
 *
 * @throws RouterError `key_not_found` for an alias that no key has, `invalid_request` for an alias that several
 * keys have
 */
export async function findByAliases(router: TeamModelRouter, aliases: readonly string[]): Promise<KeyView[]> {
  const wanted = new Set(aliases);
  const { rows } = await readKeys(router, undefined, ({ key_alias }) => wanted.has(key_alias ?? ''));
  return [...wanted].map((alias) => {
    const [found, another] = rows.filter(({ key_alias }) => key_alias === alias);
    if (found !== undefined && another === undefined) return found;
    const [code, problem] =
      found === undefined
        ? (['key_not_found', 'no key has'] as const)
        : (['invalid_request', 'more than one key has'] as const);
    const message = `key_aliases: ${problem} the alias ${JSON.stringify(alias)}.`;
    const hint = found === undefined ? '' : ' Name the key by its hash.';
    throw new RouterError(code, message + hint, { param: 'key_aliases' });
  });
}

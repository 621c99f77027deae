import { z } from 'zod';
import { RouterError } from '../errors.ts';
import type { TeamModelRouter } from '../router.ts';
import { keyBody, keyPatch, teamId } from '../schemas.ts';
import { keyNotFound, tokenOf } from '../teams/keys.ts';
import { paging, takePage } from './paging.ts';
import { teamOf } from './permissions.ts';
import { isRestricted } from './restricted-view.ts';
import { actorOf, type Route, route } from './route.ts';

const text = z.string().min(1).max(256);
const named = { key: text.optional(), token: text.optional() };
const one = z.strictObject(named);

/** `/key/...`: keys are made and changed by the operator; a team's key reads what there is to know of its own team's. */
export const keyRoutes: readonly Route[] = [
  route({
    method: 'POST',
    paths: ['/key/generate'],
    permission: 'master',
    summary: "Makes a team's API key, and shows it once",
    body: keyBody.extend({ team_id: teamId }),
    run: ({ router, credential, body }) => router.createKey(body.team_id, body, actorOf(credential)),
  }),
  route({
    method: 'POST',
    paths: ['/key/update'],
    permission: 'master',
    summary: 'Changes what is sent; null clears',
    body: keyPatch.extend(named),
    async run({ router, credential, body: { key, token, ...patch } }) {
      const id = idOf({ key, token });
      return router.updateKey(await teamWith(router, id), id, patch, actorOf(credential));
    },
  }),
  route({
    method: 'POST',
    paths: ['/key/block'],
    permission: 'master',
    summary: 'Refuses the key until it is unblocked',
    body: one,
    async run({ router, credential, body }) {
      return router.blockKey(await teamWith(router, idOf(body)), idOf(body), actorOf(credential));
    },
  }),
  route({
    method: 'POST',
    paths: ['/key/unblock'],
    permission: 'master',
    summary: 'Ends a block',
    body: one,
    async run({ router, credential, body }) {
      return router.unblockKey(await teamWith(router, idOf(body)), idOf(body), actorOf(credential));
    },
  }),
  route({
    method: 'POST',
    paths: ['/key/delete'],
    permission: 'master',
    summary: 'Revokes keys',
    body: z.strictObject({ keys: z.array(text).min(1).max(100) }),
    async run({ router, body }) {
      const owners = new Map<string, string>();
      // An id that is not there revokes nobody's.
      for (const id of body.keys) owners.set(tokenOf(id), await teamWith(router, id));
      const deleted: string[] = [];
      for (const [id, team] of owners) deleted.push(...(await router.deleteKey(team, id)).deleted_keys);
      return { deleted_keys: deleted };
    },
  }),
  route({
    method: 'GET',
    paths: ['/key/info'],
    permission: 'info',
    summary: 'What there is to know of a key; without one, of the key that asks',
    query: z.strictObject({ key: text.optional() }),
    async run({ router, credential, query }) {
      const id = query.key ?? (credential.master ? undefined : credential.token);
      if (id === undefined) throw new RouterError('invalid_request', 'key: is needed', { param: 'key' });
      const team = credential.master ? await teamWith(router, id) : teamOf(credential);
      // A restricted key learns of itself alone, as if its team had no other.
      if (isRestricted(credential) && tokenOf(id) !== credential.token) throw keyNotFound();
      const info = await router.getKey(team, id);
      return { key: info.token, info };
    },
  }),
  route({
    method: 'GET',
    paths: ['/key/list'],
    permission: 'master',
    summary: "One page of a team's keys, or of all teams'",
    query: paging.extend({ team_id: teamId.optional() }),
    run: ({ router, query: { team_id: team, ...page } }) =>
      takePage(page, async (cursor) => {
        if (team !== undefined) return { rows: await router.listKeys(team) };
        const {
          keys,
          unreadable = [],
          ...rest
        } = await router.listAllKeys(cursor === undefined ? {} : { cursor });
        return { rows: [...keys, ...unreadable], ...rest };
      }),
  }),
];

function idOf({ key, token }: z.output<typeof one>): string {
  if (key !== undefined && token === undefined) return key;
  if (token !== undefined && key === undefined) return token;
  throw new RouterError('invalid_request', 'key: send either the key or its token', { param: 'key' });
}

async function teamWith(router: TeamModelRouter, id: string): Promise<string> {
  const found = await router.findKeyTeam(id);
  if (found === undefined) throw keyNotFound();
  return found.team_id;
}

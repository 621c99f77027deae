import { z } from 'zod';
import { RouterError } from '../../errors.ts';
import type { TeamModelRouter } from '../../router.ts';
import { keyBody, keyPatch, teamId } from '../../schemas/bodies.ts';
import { type KeyView, keyNotFound, tokenOf } from '../../teams/management/edit-key.ts';
import { keyRegeneration } from '../../teams/management/key-regeneration.ts';
import { teamOf, toActor } from '../auth/principal.ts';
import { findByAliases } from './key-lists.ts';
import { isRestricted } from './restricted-view.ts';
import { type Route, route } from './route.ts';

const text = z.string().min(1).max(256);
const named = { key: text.optional(), token: text.optional() };
const one = z.strictObject(named);
const several = z.array(text).max(100).optional();

/**
 * Routes of `/key/...`. Only the operator creates and changes keys. A team's key reads that team's keys.
 */
export const keyRoutes: readonly Route[] = [
  route({
    method: 'POST',
    paths: ['/key/generate'],
    permission: 'master',
    summary: "Creates a team's API key, and returns it once",
    body: keyBody.extend({ team_id: teamId }),
    run: ({ router, principal, body }) => router.createKey(body.team_id, body, toActor(principal)),
  }),
  route({
    method: 'POST',
    paths: ['/key/update'],
    permission: 'master',
    summary: 'Changes the fields that are sent; null clears a field',
    body: keyPatch.extend({ ...named, team_id: teamId.optional(), expires: z.iso.datetime().nullish() }),
    async run({ router, principal, body: { key, token, team_id: given, expires, ...patch } }) {
      const id = idOf({ key, token });
      const team = await teamWith(router, id);
      if (expires !== undefined && expires !== (await router.getKey(team, id)).expires) {
        const message = 'expires: must be the stored value. Send duration to change it.';
        throw new RouterError('invalid_request', message, { param: 'expires' });
      }
      if (given !== undefined && given !== team) {
        const message =
          'team_id: must be the team of the key, which cannot be changed. Create a key for the other team.';
        throw new RouterError('invalid_request', message, { param: 'team_id' });
      }
      return shown(await router.updateKey(team, id, patch, toActor(principal)));
    },
  }),
  route({
    method: 'POST',
    paths: ['/key/regenerate'],
    permission: 'master',
    summary: 'Creates a new secret of a key, and returns it once; the old one stays valid for grace_period',
    body: keyRegeneration.extend(named),
    async run({ router, principal, body: { key, token, ...fields } }) {
      const id = idOf({ key, token });
      return router.regenerateKey(await teamWith(router, id), id, fields, toActor(principal));
    },
  }),
  route({
    method: 'POST',
    paths: ['/key/{key}/regenerate'],
    permission: 'master',
    summary: 'Like /key/regenerate, for the key or hash in the path',
    body: keyRegeneration,
    isBodyOptional: true,
    async run({ router, principal, body, params: { key: id = '' } }) {
      return router.regenerateKey(await teamWith(router, id), id, body, toActor(principal));
    },
  }),
  route({
    method: 'POST',
    paths: ['/key/block'],
    permission: 'master',
    summary: 'Blocks a key until it is unblocked',
    body: one,
    async run({ router, principal, body }) {
      const team = await teamWith(router, idOf(body));
      return shown(await router.blockKey(team, idOf(body), toActor(principal)));
    },
  }),
  route({
    method: 'POST',
    paths: ['/key/unblock'],
    permission: 'master',
    summary: 'Unblocks a key',
    body: one,
    async run({ router, principal, body }) {
      const team = await teamWith(router, idOf(body));
      return shown(await router.unblockKey(team, idOf(body), toActor(principal)));
    },
  }),
  route({
    method: 'POST',
    paths: ['/key/delete'],
    permission: 'master',
    summary: 'Revokes keys, by key, hash or alias',
    body: z.strictObject({ keys: several, key_aliases: several }),
    async run({ router, body }) {
      const keys = body.keys ?? [];
      const aliases = body.key_aliases ?? [];
      if (keys.length + aliases.length === 0) {
        throw new RouterError('invalid_request', 'keys: is required. Send keys or key_aliases', {
          param: 'keys',
        });
      }
      const owners = new Map<string, string>();
      // Checks all ids before it revokes any key.
      for (const id of keys) owners.set(tokenOf(id), await teamWith(router, id));
      const named = aliases.length === 0 ? [] : await findByAliases(router, aliases);
      for (const { token, team_id } of named) owners.set(token, team_id);
      const deleted: string[] = [];
      for (const [id, team] of owners) deleted.push(...(await router.deleteKey(team, id)).deleted_keys);
      return { deleted_keys: deleted };
    },
  }),
  route({
    method: 'GET',
    paths: ['/key/info'],
    permission: 'info',
    summary: 'Returns a key; without a key in the query, the key of the request',
    query: z.strictObject({ key: text.optional() }),
    async run({ router, principal, query }) {
      const id = query.key ?? (principal.master ? undefined : principal.token);
      if (id === undefined) throw new RouterError('invalid_request', 'key: is required', { param: 'key' });
      const team = principal.master ? await teamWith(router, id) : teamOf(principal);
      const info = await router.getKey(team, id);
      // A restricted key sees only itself.
      if (isRestricted(principal) && info.token !== principal.token) throw keyNotFound();
      return { key: info.token, info };
    },
  }),
];

/** Returns a changed key for a response. As in LiteLLM, `key` identifies it, here by its hash. */
function shown(view: KeyView) {
  return { key: view.token, ...view };
}

function idOf({ key, token }: z.output<typeof one>): string {
  const [id, other] = [key ?? token, token ?? key];
  // Responses contain both.
  if (id !== undefined && other !== undefined && tokenOf(id) === tokenOf(other)) return id;
  throw new RouterError('invalid_request', 'key: must not differ from token. Send only one of them', {
    param: 'key',
  });
}

async function teamWith(router: TeamModelRouter, id: string): Promise<string> {
  const found = await router.findKeyTeam(id);
  if (found === undefined) throw keyNotFound();
  return found.team_id;
}

import type { z } from 'zod';
import type { TeamModelRouter } from '../../router.ts';
import type { Principal } from '../../teams/principal.ts';
import type { Permission } from '../auth/permissions.ts';
import { teamOf } from '../auth/principal.ts';

/** What a route's handler is given: the request, authenticated and parsed. */
export interface RouteRequest<Body, Query> {
  router: TeamModelRouter;
  principal: Principal;
  body: Body;
  query: Query;
  /** The segments that the path leaves open, decoded. */
  params: Readonly<Record<string, string>>;
}

/** One documented endpoint: who may use it, what it takes, and the one router method behind it. */
export interface Route {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** `{name}` stands for one segment. */
  paths: readonly string[];
  permission: Permission;
  summary: string;
  /** How often a team may use it in a minute; absent: as often as it likes. */
  perMinute?: number;
  body?: z.ZodType;
  /** Reads the body where `body` is a choice of forms, so that an error names the field of the one that was meant. */
  readBody?: (given: unknown) => unknown;
  /** Whether a request without a body means an empty one. */
  isBodyOptional?: boolean;
  query?: z.ZodType;
  run: (request: RouteRequest<never, never>) => Promise<unknown>;
}

type Output<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined;

/** A route whose handler is given what its schemas let through. */
export function route<Body extends z.ZodType | undefined, Query extends z.ZodType | undefined>(
  definition: Omit<Route, 'body' | 'query' | 'run'> & {
    body?: Body;
    query?: Query;
    run: (request: RouteRequest<Output<Body>, Output<Query>>) => Promise<unknown>;
  },
): Route {
  return definition as Route;
}

/**
 * Whose deployment an id names, for this caller: a team's own team, without a look at anybody else's; for the master
 * the team that has it (`null`: shared), or `undefined`.
 */
export async function ownerOf(
  router: TeamModelRouter,
  principal: Principal,
  id: string,
): Promise<string | null | undefined> {
  return principal.master ? (await router.findModelTeam(id))?.team_id : teamOf(principal);
}

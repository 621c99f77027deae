import type { z } from 'zod';
import type { TeamModelRouter } from '../../router.ts';
import type { Principal } from '../../teams/principal.ts';
import type { Permission } from '../auth/permissions.ts';
import { teamOf } from '../auth/principal.ts';

/** Input of a route's handler: the authenticated and parsed request. */
export interface RouteRequest<Body, Query> {
  router: TeamModelRouter;
  principal: Principal;
  body: Body;
  query: Query;
  /** Decoded path parameters. */
  params: Readonly<Record<string, string>>;
}

/** One documented endpoint: its permission, its input and its router method. */
export interface Route {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** `{name}` matches one segment. */
  paths: readonly string[];
  permission: Permission;
  summary: string;
  /** Maximum uses per team and minute; absent: no limit. */
  perMinute?: number;
  body?: z.ZodType;
  /** Reads a body with alternatives, so that an error names the field of the intended alternative. */
  readBody?: (given: unknown) => unknown;
  /** Whether a request without a body counts as `{}`. */
  isBodyOptional?: boolean;
  query?: z.ZodType;
  run: (request: RouteRequest<never, never>) => Promise<unknown>;
}

type Output<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined;

/** Creates a route whose handler receives the validated input. */
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
 * Returns the team of a deployment for this caller. For a team, its own team, without reading other teams'
 * records. For the operator, the team that has it (`null`: shared), or `undefined`.
 */
export async function ownerOf(
  router: TeamModelRouter,
  principal: Principal,
  id: string,
): Promise<string | null | undefined> {
  return principal.master ? (await router.findModelTeam(id))?.team_id : teamOf(principal);
}

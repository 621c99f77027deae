import type { z } from 'zod';
import type { Permission } from '../auth/permissions.ts';
import { callRoutes } from './calls.ts';
import { livenessPaths, readinessPath } from './health.ts';
import { keyListRoutes } from './key-lists.ts';
import { keyRoutes } from './keys.ts';
import { modelRoutes } from './models.ts';
import type { Route } from './route.ts';
import { teamListRoutes } from './team-lists.ts';
import { teamRoutes } from './teams.ts';

export const managementRoutes: readonly Route[] = [
  ...modelRoutes,
  ...teamRoutes,
  ...teamListRoutes,
  ...keyRoutes,
  ...keyListRoutes,
];

/** One documented method on one path. */
export interface RouteEntry {
  method: string;
  /** `{name}` matches one segment. */
  path: string;
  permission: Permission;
  summary: string;
  body?: z.ZodType | undefined;
  query?: z.ZodType | undefined;
}

/** All routes of a gateway. */
export const routeTable: readonly RouteEntry[] = [
  ...managementRoutes.flatMap(({ paths, ...rest }) => paths.map((path) => ({ path, ...rest }))),
  ...callRoutes.flatMap(({ paths, ...rest }) => paths.map((path) => ({ path, ...rest }))),
  ...livenessPaths.map((path) => ({
    method: 'GET',
    path,
    permission: 'open' as const,
    summary: 'Reports that the process is running',
  })),
  {
    method: 'GET',
    path: readinessPath,
    permission: 'open',
    summary: 'Reports whether the process is ready for requests',
  },
];

/** Additional route if `openapi` is set. */
export const openApiEntry: RouteEntry = {
  method: 'GET',
  path: '/openapi.json',
  permission: 'open',
  summary: 'Returns this document',
};

/** Returns a function that lists the methods of a path, empty for an unknown path. */
export function methodsOf(entries: readonly RouteEntry[]): (path: string) => string[] {
  const patterns = entries.map(({ path, ...entry }) => ({ ...entry, segments: path.split('/') }));
  return (path) => {
    const segments = path.split('/');
    const allowed = new Set<string>();
    for (const { method, permission, segments: pattern } of patterns) {
      if (pattern.length !== segments.length) continue;
      const fits = pattern.every((part, index) =>
        part.startsWith('{') ? mayBeValue(segments, index) : part === segments[index],
      );
      if (fits) allowed.add(method);
      if (fits && method === 'GET' && permission !== 'calls') allowed.add('HEAD');
    }
    return [...allowed];
  };
}

/**
 * Returns whether a segment may be a parameter. After `/model/` and `/key/` a plain word is the name of a route
 * and not an id: `/model/block` is not a model.
 */
function mayBeValue(segments: readonly string[], index: number): boolean {
  const segment = segments[index] ?? '';
  const named = index === 2 && segments.length === 3 && (segments[1] === 'model' || segments[1] === 'key');
  return segment !== '' && !(named && /^[a-z_]+$/.test(segment));
}

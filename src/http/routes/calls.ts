import { type Endpoint, endpoints, matchEndpoint } from '../../calls/endpoints/match.ts';
import type { Permission } from '../auth/permissions.ts';

/**
 * Paths of an OpenAI call: with and without `/v1`, and Azure's form for calls with a model. `matchEndpoint`
 * parses the other paths of Azure clients, which have no routes here.
 */
export interface CallRoute {
  method: string;
  paths: readonly string[];
  permission: Permission;
  summary: string;
}

export const callRoutes: readonly CallRoute[] = endpoints.map((endpoint) => ({
  method: endpoint.method,
  paths: [
    `/v1${endpoint.path}`,
    endpoint.path,
    ...(endpoint.stateful || endpoint.local ? [] : [`/openai/deployments/{model}${endpoint.path}`]),
  ],
  permission: permissionOf(endpoint),
  summary: `OpenAI's ${endpoint.id}`,
}));

export function permissionOf({ local }: Endpoint): Permission {
  return local ? 'names' : 'calls';
}

/** Returns the methods of the calls at a path, in any of its forms. */
export function callMethods(path: string): string[] {
  const match = matchEndpoint('', path);
  const allow = match !== undefined && 'allow' in match ? match.allow : [];
  const get = allow.includes('GET') ? matchEndpoint('GET', path) : undefined;
  return get !== undefined && 'endpoint' in get && get.endpoint.local ? [...allow, 'HEAD'] : allow;
}

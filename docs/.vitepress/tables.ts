/**
 * The tables of the reference that come from the code. `npm run docs:tables` writes them into their pages, and a test
 * holds that the pages are up to date.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { endpoints } from '../../src/calls/endpoints/table.ts';
import { errorCodes, type RouterErrorCode } from '../../src/errors.ts';
import { routeTable } from '../../src/http/routes/route-table.ts';

const meanings: Record<RouterErrorCode, string> = {
  invalid_request: 'The call or the body is malformed. `param` names the field.',
  api_base_not_allowed: 'The egress policy does not allow the address. See `egress.allow`.',
  api_key_required:
    'A changed `api_base` needs the secrets again, because stored secrets are bound to their address.',
  stateful_on_shared: 'A shared model serves stateless calls only. `param` names the field.',
  invalid_api_key: 'The API key is missing, unknown or expired.',
  team_blocked: 'The operator blocked the team.',
  key_blocked: 'The API key is blocked.',
  permission_denied: 'The key type does not permit the route, or the actor may not change the model.',
  model_not_found: 'The caller has no model of this name. A model of another team gets the same error.',
  team_not_found: 'The team does not exist.',
  key_not_found: 'The API key does not exist in the team.',
  not_found: 'The path is no route, or no OpenAI call.',
  method_not_allowed: 'The path does not support the method. The header `allow` lists the methods.',
  conflict: 'Too many concurrent changes to one record. Retry.',
  already_exists: 'A team, id or unique model name is taken.',
  request_too_large: 'The body or the record exceeds a limit.',
  provider_authentication_failed: "The provider rejected the deployment's key.",
  rate_limit_exceeded: 'A limit of the deployment, the team or the provider is reached. See `retry-after`.',
  internal_error: 'A bug. The log has the stack.',
  corrupt_record: 'A stored record cannot be read. Export it and delete it.',
  credential_unreadable: 'A stored credential cannot be decrypted. Enter it again.',
  egress_denied: 'The address of the call is not allowed, for example after a DNS change.',
  provider_unreachable: 'The provider did not answer, or its answer was cut off or malformed.',
  no_healthy_deployment: 'All deployments of the pool cool down or are at their limits. See `retry-after`.',
  overloaded: 'The memory budget of the process is used up. See `retry-after`.',
  draining: 'The router is closing.',
  storage_unavailable: 'The storage is unavailable, or refuses writes.',
  provider_timeout: 'The provider did not answer in time.',
};

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

const modelPlace = {
  json: 'body',
  json_optional: 'body, optional',
  form: 'form field',
  path: 'path',
  none: 'not named',
  provider: "the provider's own, in the body",
} as const;

export const tables: Record<string, string> = {
  'errors.md': table(
    ['Code', 'Status', 'Type', 'Meaning'],
    Object.entries(errorCodes).map(([code, { status, type }]) => [
      `\`${code}\``,
      String(status),
      `\`${type}\``,
      meanings[code as RouterErrorCode],
    ]),
  ),
  'endpoints.md': table(
    ['Call', 'Method and path', 'Model', 'Shared models', 'Answer'],
    endpoints.map(({ id, method, path, model, modelOptional, stateful, local, streams, answer }) => [
      `\`${id}\``,
      `\`${method} /v1${path}\``,
      local
        ? 'answered by the router'
        : modelPlace[modelOptional && model === 'json' ? 'json_optional' : model],
      stateful ? 'no' : 'yes',
      streams === undefined ? answer : `${answer}, event stream`,
    ]),
  ),
  'routes.md': table(
    ['Method', 'Path', 'Permission', 'Summary'],
    routeTable.map(({ method, path, permission, summary }) => [
      method.toUpperCase(),
      `\`${path}\``,
      permission,
      summary,
    ]),
  ),
};

const start = '<!-- generated: npm run docs:tables -->';
const end = '<!-- end of generated part -->';

/** Returns a page with its generated part replaced. */
export function withTable(page: string, text: string): string {
  const [before, rest] = page.split(start);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error('The page has no generated part.');
  return `${before}${start}\n\n${text}\n\n${end}${after}`;
}

export const pageOf = (name: string): URL => new URL(`../${name}`, import.meta.url);

if (process.argv[1] === new URL(import.meta.url).pathname)
  for (const [name, text] of Object.entries(tables))
    writeFileSync(pageOf(name), withTable(readFileSync(pageOf(name), 'utf8'), text));

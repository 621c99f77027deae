/**
 * The tables of the reference that come from the code. `npm run docs:tables` writes them into their pages, and a test
 * holds that the pages are up to date.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { providerFields } from '../../src/calls/body/provider-fields.ts';
import { sharedFields } from '../../src/calls/body/shared-fields.ts';
import { endpoints } from '../../src/calls/endpoints/table.ts';
import { controlNames, families, forbiddenNames, usedNames } from '../../src/calls/json/control-names.ts';
import type { FieldRules } from '../../src/calls/json/shape.ts';
import { errorCodes, type RouterErrorCode } from '../../src/errors.ts';
import { routeTable } from '../../src/http/routes/route-table.ts';
import { addressOf, resolveTarget, type TargetParams } from '../../src/providers/provider.ts';
import { logRows } from './log-messages.ts';
import { headerRows, passedRows } from './response-headers.ts';

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
  known: "body, the team's or the provider's own",
} as const;

const code = (names: readonly string[]) => names.map((name) => `\`${name}\``).join(', ');

/** Models as a team writes them, with the forms that `api_base` may have. */
const addresses: TargetParams[] = [
  { model: 'openai/gpt-4o' },
  { model: 'groq/llama', api_base: 'https://api.groq.com' },
  { model: 'groq/llama', api_base: 'https://api.groq.com/openai' },
  { model: 'openai/qwen', api_base: 'https://llm.example.com' },
  { model: 'openai/qwen', api_base: 'https://llm.example.com/v1' },
  { model: 'openai/qwen', api_base: 'https://llm.example.com/v1/chat/completions' },
  { model: 'openai/qwen', api_base: 'https://llm.example.com/team/api' },
  { model: 'azure/my-gpt', api_base: 'https://name.openai.azure.com' },
  { model: 'azure/my-gpt', api_base: 'https://name.openai.azure.com', api_version: '2025-01-01-preview' },
  {
    model: 'azure/my-gpt',
    api_base:
      'https://name.openai.azure.com/openai/deployments/my-gpt/chat/completions?api-version=2025-01-01-preview',
  },
  { model: 'azure/my-gpt', api_base: 'https://name.cognitiveservices.azure.com/openai/deployments/my-gpt' },
  { model: 'azure/my-gpt', api_base: 'https://name.openai.azure.com/openai/v1' },
  { model: 'azure/my-gpt', api_base: 'https://name.openai.azure.com', api_version: 'v1' },
  { model: 'azure/my-gpt', api_base: 'https://name.services.ai.azure.com/api/projects/p/openai/v1' },
  { model: 'azure/my-gpt', api_base: 'https://name.services.ai.azure.com/models' },
  {
    model: 'azure/my-gpt',
    api_base:
      'https://gateway.example.com/ai/deployments/my-gpt/chat/completions?api-version=2025-01-01-preview',
  },
  { model: 'openai/phi', api_base: 'https://name.eastus2.models.ai.azure.com' },
];

const chatCall = { path: '/chat/completions', query: [], azure: 'deployment' } as const;

/** Returns the fields and the allowed values of one object. */
function fieldsOf(rules: FieldRules): string {
  return Object.entries(rules)
    .map(([name, rule]) => {
      if (rule === 'off') return `\`${name}\` (only \`false\` or \`null\`)`;
      if (rule === 'url') return `\`${name}\` (a URL)`;
      if (rule === 'media') return `\`${name}\` (base64 or a URL)`;
      return Array.isArray(rule) ? `\`${name}\` (${code(rule)})` : `\`${name}\``;
    })
    .join(', ');
}

/** Collects a row for each object below a field, with the calls that have it. */
function collectNested(id: string, rules: FieldRules, path: string, found: Map<string, string[]>): void {
  for (const [name, rule] of Object.entries(rules)) {
    if (typeof rule === 'string' || Array.isArray(rule)) continue;
    const row = `\`${path}${name}\` | ${fieldsOf(rule as FieldRules) || 'nothing'}`;
    found.set(row, [...(found.get(row) ?? []), id]);
    collectNested(id, rule as FieldRules, `${path}${name}.`, found);
  }
}

const nested = new Map<string, string[]>();
for (const [id, rules] of Object.entries(sharedFields)) collectNested(id, rules, '', nested);

const fieldTables = [
  "### OpenAI's fields",
  table(
    ['Call', 'Fields'],
    Object.entries(sharedFields).map(([id, rules]) => [`\`${id}\``, fieldsOf(rules)]),
  ),
  '### Fields below them',
  table(
    ['Field', 'Fields below it', 'Calls'],
    [...nested].map(([row, ids]) => [row, code(ids)]),
  ),
  '### Fields of providers',
  table(
    ['Provider', 'Fields, with everything below them'],
    Object.entries(providerFields).map(([name, paths]) => [`\`${name}\``, code(paths.split(' '))]),
  ),
  '## Call controls that are rejected',
  table(
    ['Name', 'Rejected'],
    [
      [code(forbiddenNames), 'for every deployment'],
      [
        code(
          controlNames.filter((name) => ![...usedNames, ...forbiddenNames].some((other) => other === name)),
        ),
        'unless `allow_fields` has the name',
      ],
      [code(families.map((name) => `${name}_...`)), 'the same'],
    ],
  ),
].join('\n\n');

export const tables: Record<string, string> = {
  'guides/models.md': table(
    ['`model`', '`api_base`', '`api_version`', 'a chat call goes to'],
    addresses.map((params) => [
      code([params.model]),
      params.api_base === undefined ? '' : code([params.api_base]),
      params.api_version === undefined ? '' : code([String(params.api_version)]),
      code([addressOf(resolveTarget(params), chatCall, {}, new URLSearchParams()).url]),
    ]),
  ),
  'reference/fields.md': fieldTables,
  'reference/errors.md': table(
    ['Code', 'Status', 'Type', 'Meaning'],
    Object.entries(errorCodes).map(([code, { status, type }]) => [
      `\`${code}\``,
      String(status),
      `\`${type}\``,
      meanings[code as RouterErrorCode],
    ]),
  ),
  'reference/endpoints.md': table(
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
  'reference/log-messages.md': table(['Level', 'Message', 'Fields', 'Meaning'], logRows()),
  'reference/response-headers.md': [
    '## Headers of the router and the gateway',
    table(['Header', 'Value'], headerRows()),
    '## Headers of a provider that pass',
    table(['Header', "Of a team's own model", 'Of a shared model'], passedRows()),
  ].join('\n\n'),
  'reference/routes.md': table(
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

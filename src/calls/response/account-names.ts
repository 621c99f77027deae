import type { Deployment } from '../../teams/records/deployment.ts';

/** Headers of a shared deployment's answer that say nothing of the operator's account. */
const harmless = new Set(['openai-processing-ms', 'openai-version']);

/** Ids of accounts, organizations and projects, as OpenAI, Groq, xAI, Google and Azure write them in errors. */
const ids = new RegExp(
  [
    /(?<![A-Za-z0-9])(?:org|organization|proj|project|user|acct|account|svcacct|team|ws|key|apikey)[-_](?=[A-Za-z_-]{0,63}\d)[A-Za-z0-9_-]{6,64}/,
    /(?<![A-Za-z0-9])(?:projects?|subscriptions|organizations|accounts|resourceGroups)\/[A-Za-z0-9_.-]{1,64}/,
    /project_number:\d{1,32}/,
    /(?<![0-9A-Fa-f-])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f-])/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'g',
);
/** The end of a key that the provider shows behind stars or dots. */
const keyEnds =
  /(?<!\*)\*{3,}(?!\*)[A-Za-z0-9_-]{1,16}|(?<=sk-[A-Za-z0-9_-]{0,16})\.{3}(?!\.)[A-Za-z0-9_-]{1,16}/g;

/** Takes the headers off a shared deployment's answer that tell of the account that answered. */
export function withoutAccount(
  deployment: Deployment,
  headers: Record<string, string>,
): Record<string, string> {
  if (deployment.teamId !== null) return headers;
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !tellsOfAccount(name)));
}

/** Returns the masked key in brackets. A team sees nothing of the key of a shared deployment. */
export function shownKey({ teamId, masks }: Deployment): string {
  return teamId === null ? '' : ` (${masks.map(([, mask]) => mask).join(', ') || 'no key'})`;
}

function tellsOfAccount(header: string): boolean {
  return !harmless.has(header) && (header.startsWith('openai-') || header.startsWith('x-ratelimit-'));
}

/**
 * Replaces what names the operator's account in an error of a shared deployment: ids of organizations, projects and keys, and the stored
 * account's own names. An error of a team's own deployment passes as it is.
 */
export function hideAccount(deployment: Deployment, bytes: Buffer): Buffer {
  if (deployment.teamId !== null) return bytes;
  const text = bytes.toString('latin1');
  let hidden = text;
  for (const name of accountNames(deployment)) hidden = hidden.replaceAll(name, '***');
  hidden = hidden.replace(ids, '***').replace(keyEnds, '***');
  return hidden === text ? bytes : Buffer.from(hidden, 'latin1');
}

/** As they stand in the bytes of an error, read as latin1. */
function accountNames({ params, target }: Deployment): string[] {
  const { organization, project, tenant_id, client_id } = params;
  const names = [organization, project, tenant_id, client_id, new URL(target.base).host];
  return names
    .filter((name) => name !== undefined && name.length >= 4)
    .map((name) => Buffer.from(String(name)).toString('latin1'));
}

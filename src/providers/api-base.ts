import { RouterError } from '../errors.ts';
import { parseUrl } from '../parse-url.ts';
import { otherCallProblem } from './other-calls.ts';

/** The parts of an `api_base`. */
export interface ApiBase {
  /** Scheme, host and port. */
  origin: string;
  hostname: string;
  /** Path without trailing slashes and without the path of a call; '' if the base has no path. */
  path: string;
  /** The `api-version` in the query of a pasted call URL. */
  apiVersion?: string;
  /** Whether the text was the URL of a call. The remaining path is then used unchanged. */
  pastedCall: boolean;
}

/**
 * Paths of calls that may be part of a pasted URL. A test checks that this list and the next one contain every
 * parameterless POST path of the endpoint table.
 */
export const pastedPaths: readonly string[] = [
  '/chat/completions',
  '/completions',
  '/embeddings',
  '/responses/input_tokens',
  '/responses/compact',
  '/responses',
  '/moderations',
  '/images/generations',
  '/images/edits',
  '/images/variations',
  '/audio/speech',
  '/audio/transcriptions',
  '/audio/translations',
  '/conversations',
  '/files',
  '/uploads',
  '/batches',
  '/fine_tuning/jobs',
  '/vector_stores',
];

/** The same, of calls whose paths are ordinary words. They are a call's only behind a version or `/openai`. */
export const pastedWords: readonly string[] = [
  '/agents',
  '/agents/automations',
  '/agents/environments',
  '/agents/environments/templates',
  '/agents/sessions',
  '/assistants',
  '/audio/voice_consents',
  '/audio/voices',
  '/chatkit/sessions',
  '/containers',
  '/content_provenance_checks',
  '/decisions',
  '/evals',
  '/fine_tuning/alpha/graders/run',
  '/fine_tuning/alpha/graders/validate',
  '/live/sessions',
  '/realtime/calls',
  '/realtime/client_secrets',
  '/realtime/sessions',
  '/realtime/transcription_sessions',
  '/realtime/translations/client_secrets',
  '/skills',
  '/threads',
  '/threads/runs',
  '/vaults',
  '/videos',
  '/videos/characters',
  '/videos/edits',
  '/videos/extensions',
  '/webhook_endpoints',
];

// The path may be repeated, because some forms append it again. `/models` alone ends the base of Azure's model
// inference.
const pastedCalls = new RegExp(
  `(${pastedPaths.join('|')})+$|(?<=/v\\d+[a-z0-9]*|/openai)(/models|(${pastedWords.join('|')})+)$`,
  'i',
);

/** Placeholders of documentation: `<resource>`, `{resource}`, `YOUR_RESOURCE_NAME`, `xxx` and `...`. */
const placeholder =
  /[<>{}]|%7[bdBD]|%3[ceCE]|\.{3}|\u2026|\/:\w|\/\/x{3,}\.|[/.]YOUR[-_]|[/.]your_|[/.]your-?(own-)?(api|azure|custom|deployment|domain|endpoint|gateway|host|instance|model|name|project|region|resource|workspace)/;

/**
 * Parses an `api_base`.
 *
 * @throws RouterError `invalid_request`. Its message never contains the base, which may hold a secret.
 */
export function readApiBase(text: string): ApiBase {
  if (text.trim() !== text)
    throw invalidBase('must not begin or end with a space. Remove the spaces around it');
  if (/^https?:\/\//i.test(text) && placeholder.test(text)) {
    throw invalidBase("must not contain a placeholder. Copy the URL from the provider's page");
  }
  const url = parseUrl(text);
  // `new URL` silently drops some of these characters and reads a backslash as a slash.
  if (!/^https?:\/\/[^\s\\]+$/i.test(text) || !text.isWellFormed() || url === undefined) {
    throw invalidBase('must be a URL that begins with https:// or http://');
  }
  if (/[\p{Default_Ignorable_Code_Point}\p{Cf}]/u.test(text)) {
    throw invalidBase('must not contain invisible characters. Copy the URL again');
  }
  if (/["'`,;]$/.test(text)) throw invalidBase('must be the URL alone. Remove the characters after it');
  if (url.username !== '' || url.password !== '' || authority(text).includes('@')) {
    throw invalidBase('must not contain credentials. Send them in api_key');
  }
  if (text.includes('#')) throw invalidBase('must not contain a fragment');
  if (/\/(\.|%2e){1,2}(\/|$)/i.test(text)) throw invalidBase('must not contain "." or ".." as a segment');
  const apiVersion = readQuery(text, url);
  const path = withoutSlashes(url.pathname.replace(/\/{2,}/g, '/'));
  const base = withoutSlashes(path.replace(pastedCalls, ''));
  const problem = otherCallProblem(url.origin, base);
  if (problem !== undefined) throw invalidBase(problem);
  return { origin: url.origin, hostname: url.hostname, path: base, pastedCall: base !== path, ...apiVersion };
}

/** Reads `api-version`, the only query parameter that a base may have. Azure's target URIs contain it. */
function readQuery(text: string, { search }: URL): Pick<ApiBase, 'apiVersion'> {
  if (!text.includes('?')) return {};
  const version = /^\?api-version=([0-9a-z-]{1,32})$/i.exec(search)?.[1];
  if (version === undefined)
    throw invalidBase('must not contain a query parameter other than api-version. Send a key in api_key');
  return { apiVersion: version };
}

function authority(text: string): string {
  return text.slice(text.indexOf('//') + 2).split('/', 1)[0] ?? '';
}

function withoutSlashes(path: string): string {
  let end = path.length;
  while (path[end - 1] === '/') end--;
  return path.slice(0, end);
}

/** Creates the error of an `api_base`. Its message must not contain the base. */
export function invalidBase(problem: string): RouterError {
  return new RouterError('invalid_request', `litellm_params.api_base: ${problem}.`, {
    param: 'litellm_params.api_base',
  });
}

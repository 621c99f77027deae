import { RouterError } from '../errors.ts';

/** A base as somebody pasted it, taken apart. */
export interface ApiBase {
  /** Scheme, host and port. */
  origin: string;
  hostname: string;
  /** Without a trailing slash and without a call that was pasted along; '' if there is none. */
  path: string;
  /** The api-version of a call's address that was pasted with its query. */
  apiVersion?: string;
  /** Whether a whole call's address was pasted: then the path before it is exactly as meant. */
  pastedCall: boolean;
}

/**
 * The paths of calls whose whole address may be pasted. Test: every path of the endpoint table that takes a POST and has no
 * parameter is one of them.
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

// Pasted once, or by a form that adds it once more. `/models` alone ends the base of Azure's model inference.
const pastedCalls = new RegExp(`(${pastedPaths.join('|')})+$|(?<=/v\\d+)/models$`, 'i');

/** @throws RouterError `invalid_request`; the message never repeats the base, which may hold a secret */
export function readApiBase(text: string): ApiBase {
  // URL drops some of these characters silently, and reads a backslash as a slash.
  if (!/^https?:\/\/[^\s\\]+$/i.test(text) || !text.isWellFormed() || !URL.canParse(text)) {
    throw invalidField('must be an address that begins with https:// or http://');
  }
  if (/[\p{Default_Ignorable_Code_Point}\p{Cf}]/u.test(text)) {
    throw invalidField('must not have invisible characters. Copy the address again');
  }
  if (/["'`>,;]$/.test(text)) throw invalidField('must be the address alone. Remove what is after it');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '' || authority(text).includes('@')) {
    throw invalidField('must not hold credentials; send them in api_key');
  }
  if (text.includes('#')) throw invalidField('must not have a fragment');
  const apiVersion = readQuery(text, url);
  const path = withoutSlashes(url.pathname);
  const base = withoutSlashes(path.replace(pastedCalls, ''));
  return { origin: url.origin, hostname: url.hostname, path: base, pastedCall: base !== path, ...apiVersion };
}

/** Reads the api-version of Azure's target URI, the only query that a base may have. */
function readQuery(text: string, { search }: URL): Pick<ApiBase, 'apiVersion'> {
  if (!text.includes('?')) return {};
  const version = /^\?api-version=([0-9a-z-]{1,32})$/i.exec(search)?.[1];
  if (version === undefined) throw invalidField('must not have a query but api-version');
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

function invalidField(what: string): RouterError {
  return new RouterError('invalid_request', `litellm_params.api_base ${what}.`, {
    param: 'litellm_params.api_base',
  });
}

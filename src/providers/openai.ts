import { type ApiBase, invalidBase } from './api-base.ts';
import { completedBase, documentedBase } from './bases.ts';

/**
 * Returns the base URL that call paths are appended to. Completes a host or a part of a known base with the path that
 * its provider documents, and any other bare host with `/v1`. Does not change another base with a path.
 *
 * @throws RouterError `invalid_request` if the provider documents only another base
 */
export function openaiBase({ origin, path, pastedCall }: ApiBase): string {
  const known = completedBase(origin, path);
  if (known === null) {
    throw invalidBase(
      `must be the provider's OpenAI-compatible URL. Paste ${documentedBase(origin)}, or remove api_base`,
    );
  }
  if (known !== undefined) return known;
  return path !== '' || pastedCall ? origin + path : `${origin}/v1`;
}

/** Returns the headers with the API key, the organization and the project. */
export function openaiHeaders(
  secrets: { api_key?: string | undefined },
  ids: { organization?: string | undefined; project?: string | undefined },
): Record<string, string> {
  const headers: Record<string, string> = {};
  if (secrets.api_key !== undefined) headers.authorization = `Bearer ${secrets.api_key}`;
  if (ids.organization !== undefined) headers['openai-organization'] = ids.organization;
  if (ids.project !== undefined) headers['openai-project'] = ids.project;
  return headers;
}

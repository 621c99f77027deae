import type { AnswerMeaning } from './answer-meanings.ts';
import { type Classification, classifyAnswer, type ProviderAnswer } from './classify-answer.ts';
import { safeToken, safeWords } from './safe-words.ts';

/** An error in OpenAI's form, as a team may read it of a shared deployment. */
export interface SharedError {
  message: string;
  type: string | number | null;
  param: string | number | null;
  code: string | number | null;
}

const configured = 'The provider cannot serve this call as the shared model is configured.';

const meanings: Readonly<Record<AnswerMeaning, string>> = {
  success: 'The provider answered with an error.',
  unknown: 'The provider answered with an error.',
  key_rejected: 'The provider rejected the credential of this shared model.',
  key_lacks_permission: 'The credential of this shared model lacks a permission.',
  quota_exhausted: 'The account of this shared model has no credit or quota left.',
  rate_limited: 'This shared model is at its rate limit. Retry later.',
  overloaded: 'The provider has no capacity at the moment. Retry later.',
  model_not_found: 'The provider does not serve the model behind this shared model.',
  deployment_not_found: 'The provider does not serve the model behind this shared model.',
  api_version_rejected: configured,
  wrong_endpoint: configured,
  region_blocked: configured,
  not_an_api: configured,
  wrong_operation_for_model: 'This model does not support this kind of call.',
  content_refused: "The provider's content policy refused the request.",
  context_too_long: 'The request is longer than the context of the model.',
  bad_request: 'The provider rejected the request.',
};

/** The meanings that the caller can act on, so that the provider's message helps. */
const callersMistakes: ReadonlySet<AnswerMeaning> = new Set([
  'wrong_operation_for_model',
  'content_refused',
  'context_too_long',
  'bad_request',
]);

/**
 * Returns what a team may read of an error of a shared deployment. The account there is the operator's, and no list of its
 * names can be complete. So the words are the router's, and of the provider's only known ones pass.
 */
export function sharedError(
  answer: ProviderAnswer,
  judged: Classification = classifyAnswer(answer),
): SharedError {
  const { meaning, message } = judged;
  const quoted = callersMistakes.has(meaning) && message !== undefined ? safeWords(message) : undefined;
  const own = meanings[meaning];
  const objects = errorObjects(answer.body);
  const field = (name: string) => {
    for (const object of objects) {
      const token = safeToken(object[name]);
      if (token !== null) return token;
    }
    return null;
  };
  return {
    message: quoted === undefined ? own : `${own} The provider says: ${quoted}`,
    type: field('type') ?? 'provider_error',
    param: field('param'),
    code: field('code'),
  };
}

const maxBytes = 65_536;
const maxDepth = 3;

/** Returns the objects that may hold the code of an error, the outermost first. */
function errorObjects(body: Uint8Array): Record<string, unknown>[] {
  const found: Record<string, unknown>[] = [];
  const visit = (value: unknown, depth: number): void => {
    const object: unknown = Array.isArray(value) ? value[0] : value;
    if (typeof object !== 'object' || object === null || depth > maxDepth) return;
    const fields = object as Record<string, unknown>;
    found.push(fields);
    for (const name of ['error', 'response', 'message']) visit(fields[name], depth + 1);
  };
  try {
    if (body.length <= maxBytes) visit(JSON.parse(Buffer.from(body).toString()), 0);
  } catch {
    // Text has no code.
  }
  return found;
}

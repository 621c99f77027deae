import { RouterError } from '../../errors.ts';
import type { Call } from '../call.ts';

const maxTags = 32;
const maxLength = 256;

/**
 * Returns the tags that the call's options carry.
 *
 * @throws RouterError `invalid_request`
 */
export function givenTags({ tags }: Call): readonly string[] | undefined {
  if (tags === undefined) return undefined;
  const valid = Array.isArray(tags) && tags.length <= maxTags && tags.every(isLabel);
  if (valid) return [...tags];
  const message = `tags: must be at most ${maxTags} strings of up to ${maxLength} characters.`;
  throw new RouterError('invalid_request', message, { param: 'tags' });
}

/**
 * Returns the member that the call's options name.
 *
 * @throws RouterError `invalid_request`
 */
export function givenUser({ userId }: Call): string | undefined {
  if (userId === undefined || isLabel(userId)) return userId;
  const message = `userId: must be a string of 1 to ${maxLength} characters.`;
  throw new RouterError('invalid_request', message, { param: 'userId' });
}

/**
 * Returns the tags of the header `x-litellm-tags`, which are separated by commas.
 *
 * @throws RouterError `invalid_request`
 */
export function headerTags({ headers }: Call): readonly string[] | undefined {
  const text = headers.get('x-litellm-tags');
  if (text === null) return undefined;
  const tags = text.split(',').map((tag) => tag.trim());
  if (tags.length <= maxTags && tags.every(isLabel)) return tags;
  const message = 'x-litellm-tags: must be at most 32 tags of up to 256 characters, with commas between.';
  throw new RouterError('invalid_request', message, { param: 'x-litellm-tags' });
}

function isLabel(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= maxLength;
}

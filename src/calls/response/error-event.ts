import type { ErrorBody } from '../../errors.ts';
import type { EventApi } from '../endpoints/table.ts';
import type { SharedError } from '../upstream/shared-error.ts';

/**
 * Returns the event that ends a stream that failed, in the shape of its API. The `error` member is in every shape, because
 * the OpenAI client throws only where it finds one.
 *
 * @param sequence the number of the event, which only the Responses API has
 */
export function errorEvent(
  api: EventApi,
  error: ErrorBody['error'] | SharedError,
  sequence: () => number,
): Buffer {
  if (api === 'chat' || api === 'completion') return Buffer.from(`data: ${JSON.stringify({ error })}\n\n`);
  const { code, message, param } = error;
  const body =
    api === 'response'
      ? { type: 'error', code, message, param, sequence_number: sequence(), error }
      : { type: 'error', error };
  return Buffer.from(`event: error\ndata: ${JSON.stringify(body)}\n\n`);
}

import { RouterError } from '../../errors.ts';
import type { Endpoint } from '../endpoints/match.ts';
import { HeldBody, type RequestBody } from './request-body.ts';
import { statefulReason } from './stateless-check.ts';

/** A call without a body. */
export class EmptyBody extends HeldBody implements RequestBody {
  readonly model = undefined;
  readonly stream = false;
  readonly contentType = null;
  readonly #endpoint: Endpoint;

  /** @throws RouterError `invalid_request` if the endpoint needs a JSON body */
  constructor(endpoint: Endpoint, method: string) {
    super();
    if (method === 'POST' && endpoint.model === 'json')
      throw new RouterError('invalid_request', 'This call needs a JSON body.');
    this.#endpoint = endpoint;
  }

  statefulError(): RouterError | undefined {
    return statefulReason(this.#endpoint);
  }

  bytesFor(): undefined {}
}

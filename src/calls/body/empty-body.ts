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

  /** @throws RouterError `invalid_request` if the endpoint needs a JSON body to name its model */
  constructor(endpoint: Endpoint, method: string) {
    super();
    if (method === 'POST' && endpoint.model === 'json' && !endpoint.stateful)
      throw new RouterError('invalid_request', 'This call needs a JSON body.');
    this.#endpoint = endpoint;
  }

  statefulError(): RouterError | undefined {
    return statefulReason(this.#endpoint);
  }

  bytesFor(): undefined {}
}

/** A body that is neither JSON nor a form. It is sent as it came, with its content type. */
export class RawBody extends HeldBody implements RequestBody {
  readonly model = undefined;
  readonly stream = false;
  readonly contentType: string;
  readonly #bytes: Buffer;
  readonly #endpoint: Endpoint;

  /** @throws RouterError `invalid_request` if the content type is malformed */
  constructor(bytes: Buffer, contentType: string, endpoint: Endpoint) {
    super();
    if (contentType.length > 256 || !typeForm.test(contentType)) {
      const message = 'content-type: must be a media type such as application/json. Correct it.';
      throw new RouterError('invalid_request', message, { param: 'content-type' });
    }
    this.#bytes = bytes;
    this.#endpoint = endpoint;
    this.contentType = contentType;
  }

  statefulError(): RouterError | undefined {
    return statefulReason(this.#endpoint);
  }

  bytesFor(): Buffer {
    return this.#bytes;
  }
}

const typeForm = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+ *(;[\x20-\x7e]*)?$/;

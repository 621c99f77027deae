import { RouterError } from '../../errors.ts';

/** The body of a request is compressed. */
class CompressedBody extends RouterError {
  override readonly status: number = 415;

  constructor() {
    super(
      'invalid_request',
      'content-encoding: must be absent or identity. Send the body without compression.',
      {
        param: 'content-encoding',
      },
    );
  }
}

/** @throws RouterError `invalid_request` with status 415 if the body is compressed */
export function checkEncoding(headers: { get(name: string): string | null }): void {
  const encoding = headers.get('content-encoding');
  if (encoding !== null && !/^[\t ]*(identity)?[\t ]*$/i.test(encoding)) throw new CompressedBody();
}

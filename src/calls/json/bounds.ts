import { RouterError } from '../../errors.ts';
import { type JsonHandler, JsonScanner } from './scanner.ts';

/** Of the bodies that are parsed whole: management's. */
const maxDepth = 64;
const maxKeys = 20_000;

/**
 * Checks a JSON text before it is parsed: what parsing builds can be many times as large as the text.
 *
 * @throws RouterError `invalid_request` if it is malformed, nested too deeply or has too many keys
 */
export function checkJsonBounds(bytes: Buffer): void {
  let keys = 0;
  const count: JsonHandler = {
    key() {
      if (++keys > maxKeys)
        throw new RouterError('invalid_request', `The body has more than ${maxKeys} keys.`);
    },
    open() {},
    close() {},
    text() {},
    scalar() {},
  };
  new JsonScanner(bytes, count, maxDepth).run(bytes.length);
}

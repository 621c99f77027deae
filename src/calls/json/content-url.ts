import { parseUrl } from '../../parse-url.ts';
import { backslash, stringAt } from './tokens.ts';

/** Bytes of a URL in a body. Signed URLs have up to 4 KiB. */
const maxUrlBytes = 8_192;
const lowerU = 0x75;
const slash = 0x2f;

/** Hosts whose paths name objects in an account. The provider reads them with the deployment's credential. */
const accountHosts = /(?:^|[.-])generativelanguage\.googleapis\.com\.?$/;

/**
 * Returns whether the JSON string between the quotation marks at `start` and `end - 1` is content that a caller may refer
 * to: a `data:` URL, or an `https:` URL that is not a file in a provider's account. Any other value, such as `gs://` or
 * an id, may be read with the operator's credential.
 */
export function isContentUrl(bytes: Buffer, start: number, end: number): boolean {
  if (startsWith(bytes, start, end, 'data:')) return true;
  if (end - start > maxUrlBytes || !startsWith(bytes, start, end, 'https:')) return false;
  const text = stringAt(bytes, start, end);
  const url = text === undefined ? undefined : parseUrl(text);
  return url !== undefined && !accountHosts.test(url.hostname);
}

/** Compares the first characters of a JSON string. Escapes count as the characters that they mean. */
function startsWith(bytes: Buffer, start: number, end: number, prefix: string): boolean {
  let at = start + 1;
  for (let index = 0; index < prefix.length; index++) {
    if (at >= end - 1) return false;
    let code = bytes[at++];
    if (code === backslash) {
      const escaped = bytes[at++];
      if (escaped === lowerU) {
        const digits = bytes.toString('latin1', at, Math.min(at + 4, end - 1));
        code = /^[0-9a-f]{4}$/i.test(digits) ? Number.parseInt(digits, 16) : undefined;
        at += 4;
      } else code = escaped === slash ? slash : undefined;
    }
    if (code === undefined || String.fromCharCode(code).toLowerCase() !== prefix[index]) return false;
  }
  return true;
}

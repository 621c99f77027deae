import { parseUrl } from '../../parse-url.ts';
import { isPublicContent } from './content-host.ts';
import { backslash, stringAt } from './tokens.ts';

/** Bytes of a URL in a body. Signed URLs have up to 4 KiB. */
const maxUrlBytes = 8_192;
const lowerU = 0x75;
const slash = 0x2f;

/** Bytes of a string that are searched for the scheme of a URL, or for a character that base64 does not have. */
const headBytes = 256;

/** Readers differ in what else they take for a URL, such as `https:host`, `https:\\\\host` and `https://a@host`. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: URL parsers drop control characters
const plainUrl = /^https:\/\/[^\s/\\?#@]+(?:[/?#][^\\\u0000-\u001f\u007f]*)?$/i;

/** What a string may be: a URL of content; base64 or such a URL; any text that is not another URL; no string at all. */
export type TextRule = 'url' | 'media' | 'text' | 'none';

/** Returns whether the JSON string between the quotation marks at `start` and `end - 1` follows the rule. */
export function followsRule(bytes: Buffer, start: number, end: number, rule: TextRule): boolean {
  if (rule === 'none') return end - start === 2;
  if (rule === 'media' && isBase64(bytes, start, end)) return true;
  if (rule === 'text' && !looksLikeUrl(bytes, start, end)) return true;
  return isContentUrl(bytes, start, end);
}

/**
 * Returns whether the string is content that a caller may refer to: a `data:` URL, or an `https:` URL that anybody can
 * read. Any other value, such as `gs://` or an id, may be read with the operator's credential or from its network.
 */
function isContentUrl(bytes: Buffer, start: number, end: number): boolean {
  if (startsWith(bytes, start, end, 'data:')) return true;
  if (end - start > maxUrlBytes || !startsWith(bytes, start, end, 'https:')) return false;
  const text = stringAt(bytes, start, end);
  const url = text === undefined || !plainUrl.test(text) ? undefined : parseUrl(text);
  return url !== undefined && isPublicContent(url);
}

/** Returns whether a text begins with a scheme and a slash. Any other colon, also after a drive's letter, is no URL's. */
function looksLikeUrl(bytes: Buffer, start: number, end: number): boolean {
  const head = bytes.toString('latin1', start + 1, Math.min(end - 1, start + headBytes));
  const text = head.replace(/\\u([0-9a-f]{4})/gi, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return /^(?:\s|\\[nrtbf])*(?:file:|[a-z][a-z0-9+.-]+:[/\\])/i.test(text);
}

/** Judges the beginning alone, because no URL and no id has so many characters that base64 has as well. */
function isBase64(bytes: Buffer, start: number, end: number): boolean {
  const head = bytes.toString('latin1', start + 1, Math.min(end - 1, start + headBytes));
  return /^(?:[A-Za-z0-9+/=]|\\[/nr])*\\?$/.test(head);
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

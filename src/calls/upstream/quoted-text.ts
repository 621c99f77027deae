/** An opening quotation mark and its closing one. An apostrophe opens nothing behind a letter, and closes nothing before one. */
const pairs: ReadonlyMap<string, string> = new Map([
  ["'", "'"],
  ['"', '"'],
  ['`', '`'],
  ['\u2018', '\u2019'],
  ['\u201c', '\u201d'],
  ['\u300c', '\u300d'],
]);
/** Names a part of the request before a colon, behind which the message repeats what the caller sent. */
const repeated =
  /\b(?:unknown|unrecogni[sz]ed|unexpected|unsupported|invalid|extra|duplicate|argument)\b[^:.]{0,60}\b(?:argument|parameter|param|field|property|name|value|role|option|function|tool|model)s?\b[^:.]{0,40}:\s(?!\W*(?:api.?version|model)\b)/i;
const received = /\bexpected\b[^.]{0,120}\b(?:got|received)\b/i;
/** How LiteLLM repeats the answer of a provider or the detail of an exception. */
const wrapped = /^(?:litellm\.\w{1,40}: ){0,4}(?:\w{1,40}(?:Error|Exception)[: -]{1,3}){0,4}(?:b')?(?=\{)/;
const pythonError = "{'error': ";

/**
 * Returns a provider's message without what it quotes, because a message may quote the caller's own text. A text that is
 * quoted as a whole is the message.
 */
export function withoutQuotes(message: string): string {
  const text = unwrapped(message.trim());
  let result = '';
  for (let at = 0; at < text.length; at++) {
    const closing = opens(text, at) ? pairs.get(text[at] ?? '') : undefined;
    if (closing === undefined) result += text[at];
    else {
      at = closingIndex(text, at + 1, closing);
      result += ' * ';
    }
  }
  return withoutRepeated(result);
}

/** Returns the JSON that a message wraps, or `undefined`. Only JSON that is the message, or follows the name of an exception. */
export function wrappedJson(message: string): string | undefined {
  const text = message.trim();
  const start = wrapped.exec(text)?.[0];
  if (start === undefined) return undefined;
  const json = text.slice(start.length);
  return start.endsWith("b'") ? json.replace(/'$/, '') : json;
}

function unwrapped(text: string): string {
  if (text.startsWith(pythonError) && text.endsWith('}')) {
    const mark = text[pythonError.length] ?? '';
    const start = pythonError.length + 1;
    if (mark === "'" || mark === '"') return text.slice(start, closingIndex(text, start, mark));
  }
  const closing = opens(text, 0) ? pairs.get(text[0] ?? '') : undefined;
  const whole = closing !== undefined && closingIndex(text, 1, closing) === text.length - 1;
  return whole && text.endsWith(closing) ? text.slice(1, -1) : text;
}

function opens(text: string, at: number): boolean {
  return pairs.has(text[at] ?? '') && !(text[at] === "'" && isLetter(text[at - 1]));
}

/**
 * Returns the index of the closing mark, or an index after the text without one, because a provider may cut its
 * quotation.
 */
function closingIndex(text: string, start: number, closing: string): number {
  for (let at = start; at < text.length; at++) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === closing && !(isApostrophe(closing) && isLetter(text[at + 1]))) return at;
  }
  return text.length;
}

function isApostrophe(mark: string): boolean {
  return mark === "'" || mark === '\u2019';
}

function withoutRepeated(text: string): string {
  const found = repeated.exec(text) ?? received.exec(text);
  return found === null ? text : text.slice(0, found.index + found[0].length);
}

function isLetter(character: string | undefined): boolean {
  return character !== undefined && /[\p{L}\p{N}]/u.test(character);
}

import { Automaton } from './automaton.ts';
import { type DecodedRun, forEachEncodedRun } from './encoded-runs.ts';
import { decodeEscapes, maxEscapeBytes, type Unescaped } from './escapes.ts';

/** Shorter values are not searched for, because ordinary words contain them. */
export const minSecretBytes = 6;

// biome-ignore lint/suspicious/noControlCharactersInRegex: the range is meant to be all of ASCII
const notAscii = /[^\x00-\x7f]/;

/** Result of a scan. */
export interface Scan {
  /** The index of the matching secret plus 1, at most 255, for each byte; `undefined` if no byte matches. */
  marks: Uint8Array | undefined;
  /** First byte that may belong to a secret which the next chunk completes. */
  openFrom: number;
}

/** Matches of one pass, ordered by their ends. */
interface Places {
  starts: number[];
  ends: number[];
  secrets: number[];
}

/**
 * Finds secrets in every form that an encoder writes them in, in one pass and linear time.
 *
 * Decodes the text and the secrets with the same decoder, so every mixture of escapes is found in the same form.
 * Decodes runs of base64 and of hexadecimal digits, and searches them in the same way.
 */
export class SecretMatcher {
  readonly #automaton: Automaton;
  /** Index of each pattern's secret. */
  readonly #secretOf: number[] = [];
  readonly #shortest: number;
  /**
   * Whether texts are also searched without decoding, because decoding changes a secret that looks like an escape.
   */
  readonly #searchesRaw: boolean;

  constructor(secrets: readonly string[]) {
    const patterns: Uint8Array[] = [];
    for (const [index, secret] of secrets.entries()) {
      if (secret.length < minSecretBytes) continue;
      for (const pattern of patternsOf(secret)) {
        patterns.push(pattern);
        this.#secretOf.push(index);
      }
    }
    this.#automaton = new Automaton(patterns);
    this.#searchesRaw = secrets.some((secret) => /[^\w.~:-]/.test(secret));
    this.#shortest = patterns.reduce(
      (shortest, { length }) => Math.min(shortest, length),
      Number.POSITIVE_INFINITY,
    );
  }

  scan(bytes: Uint8Array): Scan {
    const scan: Scan = { marks: undefined, openFrom: bytes.length };
    if (this.#secretOf.length === 0) return scan;
    const record = (places: Places) => {
      if (places.ends.length === 0) return;
      scan.marks ??= new Uint8Array(bytes.length);
      fill(scan.marks, places);
    };
    const text = decodeEscapes(bytes);
    scan.openFrom = this.#search(bytes, text, record);
    forEachEncodedRun(text, this.#shortest, (run) => {
      const decoded = decodeEscapes(run.bytes);
      const openFrom = this.#search(run.bytes, decoded, (places) => record(placesIn(text, run, places)));
      if (run.open) scan.openFrom = Math.min(scan.openFrom, startIn(text, run, openFrom, bytes.length));
    });
    return scan;
  }

  /** Searches a text with its escapes decoded and, if needed, as it is. Returns the first byte of an open match. */
  #search(bytes: Uint8Array, text: Unescaped, record: (places: Places) => void): number {
    const { length, from, to, openRun } = text;
    let openFrom = openRun < 0 ? bytes.length : openRun;
    const opener = firstOpener(text);
    if (opener < length) openFrom = Math.min(openFrom, from[opener] ?? 0);
    const unescaped: Places = { starts: [], ends: [], secrets: [] };
    this.#automaton.run(
      text.bytes,
      length,
      (end, size, pattern) =>
        add(unescaped, from[end - size] ?? 0, to[end - 1] ?? 0, this.#secretOf[pattern]),
      Math.min(opener, length) - 1,
      (index, depth) => {
        if (depth > 0) openFrom = Math.min(openFrom, from[index + 1 - depth] ?? 0);
      },
    );
    record(unescaped);
    if (!text.changed || !this.#searchesRaw) return openFrom;
    const raw: Places = { starts: [], ends: [], secrets: [] };
    this.#automaton.run(
      bytes,
      bytes.length,
      (end, size, pattern) => add(raw, end - size, end, this.#secretOf[pattern]),
      bytes.length - 1,
      (index, depth) => {
        openFrom = Math.min(openFrom, index + 1 - depth);
      },
    );
    record(raw);
    return openFrom;
  }
}

/**
 * Returns the patterns of a secret: decoded, and as it is. Drops the ends that could combine with neighbouring bytes
 * to an escape.
 */
function patternsOf(secret: string): Uint8Array[] {
  const bytes = Buffer.from(secret);
  const { bytes: decoded, length } = decodeEscapes(bytes);
  const text = Buffer.from(decoded.subarray(0, length)).toString('latin1');
  const plain = text.replace(/(%[0-9a-fA-F]?|&[#\w]{0,9})$/, '');
  // A raw tab is white space. An escaped tab `\t` leaves its letter.
  const forms = [plain, plain.replaceAll('\t', 't')];
  forms.push(plain.replace(/^(u[0-9a-fA-F]{4}|x?[0-9a-fA-F]{2})/, ''));
  const patterns: Uint8Array[] = forms.map((form) => Buffer.from(form, 'latin1'));
  patterns.push(bytes);
  if (notAscii.test(secret)) patterns.push(...notAsciiForms(secret, bytes));
  const distinct = new Map(patterns.map((pattern) => [Buffer.from(pattern).toString('latin1'), pattern]));
  return [...distinct.values()].filter((pattern) => pattern.length >= minSecretBytes);
}

/**
 * Returns the escaped forms of a secret with non-ASCII characters, because the decoded form may be too short to
 * search for.
 */
function notAsciiForms(secret: string, bytes: Buffer): Buffer[] {
  const inJson = (digits: (code: string) => string) =>
    secret.replace(new RegExp(notAscii, 'g'), (unit) => {
      return `\\u${digits(unit.charCodeAt(0).toString(16).padStart(4, '0'))}`;
    });
  const inUrl = encodeURIComponent(secret);
  const lowerInUrl = inUrl.replace(/%../g, (digits) => digits.toLowerCase());
  const texts = [inJson((code) => code), inJson((code) => code.toUpperCase()), inUrl, lowerInUrl];
  return [...texts.map((text) => Buffer.from(text)), Buffer.from(bytes.toString('latin1'))];
}

/** Returns the index of the first byte near the end that may begin an escape; the length if no byte does. */
function firstOpener({ bytes, length, escaped }: Unescaped): number {
  for (let at = Math.max(0, length - maxEscapeBytes); at < length; at++) {
    const byte = bytes[at];
    if (byte === 0x25 || byte === 0x26) return at;
    if (escaped[at] !== 0 && (byte === 0x75 || byte === 0x55 || byte === 0x78)) return at;
  }
  return length;
}

function add({ starts, ends, secrets }: Places, start: number, end: number, secret = 0): void {
  const last = ends.length - 1;
  // A periodic secret matches at each byte, so overlapping matches are merged.
  if (last >= 0 && secrets[last] === secret && start >= (starts[last] ?? 0) && start < (ends[last] ?? 0)) {
    ends[last] = end;
    return;
  }
  starts.push(start);
  ends.push(end);
  secrets.push(secret);
}

/** Marks each byte once. Iterates from the last match to the first, so overlaps are skipped. */
function fill(marks: Uint8Array, { starts, ends, secrets }: Places): void {
  let covered = Number.POSITIVE_INFINITY;
  for (let index = ends.length - 1; index >= 0; index--) {
    const start = starts[index] ?? 0;
    const end = Math.min(ends[index] ?? 0, covered);
    if (start < end) marks.fill(Math.min((secrets[index] ?? 0) + 1, 255), start, end);
    covered = Math.min(covered, start);
  }
}

/** Maps matches in a decoded run to positions in the text that contains the run. */
function placesIn(text: Unescaped, { places, first, bits }: DecodedRun, matches: Places): Places {
  const at = (index: number) => places[index] ?? 0;
  return {
    starts: matches.starts.map((start) => text.from[at(first + Math.floor((start * 8) / bits))] ?? 0),
    ends: matches.ends.map((end) => text.to[at(first + Math.ceil((end * 8) / bits) - 1)] ?? 0),
    secrets: matches.secrets,
  };
}

/**
 * Maps the start of an open match in a run to the text. In base64 the start is moved to a group of four characters,
 * because the next scan must have the same alignment.
 */
function startIn(text: Unescaped, { places, first, bits }: DecodedRun, start: number, end: number): number {
  const index = bits === 6 ? Math.floor(start / 3) * 4 : start * 2;
  const place = places[first + index];
  return place === undefined ? end : (text.from[place] ?? end);
}

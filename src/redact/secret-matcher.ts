import { Automaton } from './automaton.ts';
import { type DecodedRun, forEachEncodedRun } from './encoded-runs.ts';
import { decodeEscapes, maxEscapeBytes, type Unescaped } from './escapes.ts';

/** Shorter values are not looked for, because they are parts of ordinary words. */
export const minSecretBytes = 6;

// biome-ignore lint/suspicious/noControlCharactersInRegex: what is not ASCII is meant
const notAscii = /[^\x00-\x7f]/;

/** What was found in some bytes. */
export interface Scan {
  /** For each byte the number of the secret that it is part of, plus 1, at most 255; `undefined`: there is none. */
  marks: Uint8Array | undefined;
  /** From here on the bytes may be the beginning of a secret that goes on in what follows. */
  openFrom: number;
}

/** Places of one pass, in the order of their ends. */
interface Places {
  starts: number[];
  ends: number[];
  secrets: number[];
}

/**
 * Finds secrets in every form that an encoder writes them in, in one pass whose time grows with the input alone.
 *
 * The text and the secrets are read through the same decoder, so each mixture of escapes meets its secret in the same
 * form. Runs of base64 and of hexadecimal digits are decoded and searched in the same way.
 */
export class SecretMatcher {
  readonly #automaton: Automaton;
  /** The number of each pattern's secret. */
  readonly #secretOf: number[] = [];
  readonly #shortest: number;
  /** A secret looks otherwise without what could be an escape, so texts are searched as they are too. */
  readonly #asItIs: boolean;

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
    this.#asItIs = secrets.some((secret) => /[^\w.~:-]/.test(secret));
    this.#shortest = patterns.reduce(
      (least, { length }) => Math.min(least, length),
      Number.POSITIVE_INFINITY,
    );
  }

  scan(bytes: Uint8Array): Scan {
    const scan: Scan = { marks: undefined, openFrom: bytes.length };
    if (this.#secretOf.length === 0) return scan;
    const note = (places: Places) => {
      if (places.ends.length === 0) return;
      scan.marks ??= new Uint8Array(bytes.length);
      fill(scan.marks, places);
    };
    const text = decodeEscapes(bytes);
    scan.openFrom = this.#search(bytes, text, note);
    forEachEncodedRun(text, this.#shortest, (run) => {
      const decoded = decodeEscapes(run.bytes);
      const openFrom = this.#search(run.bytes, decoded, (places) => note(placesIn(text, run, places)));
      if (run.open) scan.openFrom = Math.min(scan.openFrom, startIn(text, run, openFrom, bytes.length));
    });
    return scan;
  }

  /** Searches a text as it is and without its escapes; returns from where on it may go on as a secret. */
  #search(bytes: Uint8Array, text: Unescaped, note: (places: Places) => void): number {
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
    note(unescaped);
    if (!text.changed || !this.#asItIs) return openFrom;
    const asItIs: Places = { starts: [], ends: [], secrets: [] };
    this.#automaton.run(
      bytes,
      bytes.length,
      (end, size, pattern) => add(asItIs, end - size, end, this.#secretOf[pattern]),
      bytes.length - 1,
      (index, depth) => {
        openFrom = Math.min(openFrom, index + 1 - depth);
      },
    );
    note(asItIs);
    return openFrom;
  }
}

/**
 * What a secret is looked for as: without its escapes, and as it is. What could be read as a part of an escape that its
 * neighbours complete is left out.
 */
function patternsOf(secret: string): Uint8Array[] {
  const bytes = Buffer.from(secret);
  const { bytes: decoded, length } = decodeEscapes(bytes);
  const text = Buffer.from(decoded.subarray(0, length)).toString('latin1');
  const plain = text.replace(/(%[0-9a-fA-F]?|&[#\w]{0,9})$/, '');
  // A raw tab is white space; the letter is what `\t` leaves of it.
  const forms = [plain, plain.replaceAll('\t', 't')];
  forms.push(plain.replace(/^(u[0-9a-fA-F]{4}|x?[0-9a-fA-F]{2})/, ''));
  const patterns: Uint8Array[] = forms.map((form) => Buffer.from(form, 'latin1'));
  patterns.push(bytes);
  if (notAscii.test(secret)) patterns.push(...notAsciiForms(secret, bytes));
  const distinct = new Map(patterns.map((pattern) => [Buffer.from(pattern).toString('latin1'), pattern]));
  return [...distinct.values()].filter((pattern) => pattern.length >= minSecretBytes);
}

/** Where few characters are ASCII, the forms without escapes have too little in them to be looked for. */
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

/** The first of the last bytes that may begin an escape; the length if none does. */
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
  // A secret that repeats itself is found anew at each byte.
  if (last >= 0 && secrets[last] === secret && start >= (starts[last] ?? 0) && start < (ends[last] ?? 0)) {
    ends[last] = end;
    return;
  }
  starts.push(start);
  ends.push(end);
  secrets.push(secret);
}

/** Marks each byte once: seen from the last place to the first, what a later one covers is marked already. */
function fill(marks: Uint8Array, { starts, ends, secrets }: Places): void {
  let covered = Number.POSITIVE_INFINITY;
  for (let index = ends.length - 1; index >= 0; index--) {
    const start = starts[index] ?? 0;
    const end = Math.min(ends[index] ?? 0, covered);
    if (start < end) marks.fill(Math.min((secrets[index] ?? 0) + 1, 255), start, end);
    covered = Math.min(covered, start);
  }
}

/** From the bytes of a decoded run to those of the text that it was read from. */
function placesIn(text: Unescaped, { places, first, bits }: DecodedRun, found: Places): Places {
  const at = (index: number) => places[index] ?? 0;
  return {
    starts: found.starts.map((start) => text.from[at(first + Math.floor((start * 8) / bits))] ?? 0),
    ends: found.ends.map((end) => text.to[at(first + Math.ceil((end * 8) / bits) - 1)] ?? 0),
    secrets: found.secrets,
  };
}

/** Where the characters begin that may hold a secret's beginning; of base64 whole groups, else their alignment is lost. */
function startIn(text: Unescaped, { places, first, bits }: DecodedRun, start: number, end: number): number {
  const index = bits === 6 ? Math.floor(start / 3) * 4 : start * 2;
  const place = places[first + index];
  return place === undefined ? end : (text.from[place] ?? end);
}

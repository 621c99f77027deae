import { mask } from './values.ts';

/** Shorter values are left alone: they would tear ordinary words apart. */
const shortest = 6;

/**
 * What everything that is said of a failure goes through on its way out: an error's own words, a provider's, a line of
 * the log. Replaces `secrets`, however they are written down, and whatever gives itself away as a credential.
 */
export function redact(text: string, secrets: readonly string[] = []): string {
  let redacted = text;
  // The longest first: one secret may be a part of another.
  for (const secret of secrets.toSorted((left, right) => right.length - left.length)) {
    if (secret.length < shortest) continue;
    for (const form of formsOf(secret)) redacted = redacted.replaceAll(form, () => mask(secret));
  }
  return redacted
    .replace(/(?<![\w-])sk-[\w-]{20,}/g, mask)
    .replace(/\b(Bearer|Basic) +[\w.~+/-]{16,}=*/gi, (_, scheme: string) => `${scheme} ...`)
    .replace(/\btmr1(\.[\w-]+){5}/g, 'tmr1...')
    .replace(/:\/\/[^\s/?#@"'\\]+@/g, '://...@');
}

/** The same for bytes: what is not replaced stays as it was, whatever it is. */
export function redactBytes(bytes: Buffer, secrets: readonly string[]): Buffer {
  // latin1 maps each byte to one character and back.
  const text = bytes.toString('latin1');
  const redacted = redact(text, secrets);
  return redacted === text ? bytes : Buffer.from(redacted, 'latin1');
}

/** A copy of plain data in which every text has been through `redact`. */
export function redactFields(value: unknown): unknown {
  if (typeof value === 'string') return redact(value);
  if (Array.isArray(value)) return value.map(redactFields);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, redactFields(field)]));
}

/** As it is and as JSON writes it, once or in a string inside of a string; each of it as it is, in a URL, in hex and in base64. */
function formsOf(secret: string): Set<string> {
  const escaped = JSON.stringify(secret).slice(1, -1);
  const written = [secret, escaped, JSON.stringify(escaped).slice(1, -1)];
  return new Set(
    written.flatMap((text) => {
      const bytes = Buffer.from(text);
      const inUrl = [encodeURIComponent(text), new URLSearchParams([['', text]]).toString().slice(1)];
      return [text, bytes.toString('latin1'), ...inUrl, bytes.toString('hex'), ...base64Forms(bytes)];
    }),
  );
}

/** Inside of a longer text base64 comes in three alignments: of each, the characters that the secret alone decides. */
function base64Forms(secret: Buffer): string[] {
  return [0, 1, 2].flatMap((before) => {
    const padded = Buffer.concat([Buffer.alloc(before), secret]);
    const first = Math.ceil((before * 8) / 6);
    const last = Math.floor((padded.length * 8) / 6);
    return (['base64', 'base64url'] as const).map((alphabet) => padded.toString(alphabet).slice(first, last));
  });
}

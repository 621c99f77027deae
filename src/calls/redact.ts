import type { Secrets } from '../teams/sealing.ts';
import { mask } from '../values.ts';
import { asBuffer } from './answer.ts';

/** Shorter values are left alone: they would tear ordinary words apart. */
const shortest = 6;

/** Replaces the deployment's own secrets where a provider echoes them: as they are, in base64, and as JSON writes them. */
export function redact(body: Uint8Array, secrets: Secrets): Uint8Array {
  // latin1 maps each byte to one character and back: nothing else in the body changes.
  const before = asBuffer(body).toString('latin1');
  let text = before;
  for (const secret of valuesOf(secrets)) {
    for (const form of formsOf(secret)) text = text.replaceAll(form, () => mask(secret));
  }
  return text === before ? body : Buffer.from(text, 'latin1');
}

function valuesOf(secrets: Secrets): string[] {
  const values = [
    secrets.api_key,
    secrets.azure_ad_token,
    secrets.client_secret,
    ...secrets.headers.map(([, value]) => value),
  ];
  return values.filter((value) => value !== undefined).filter((value) => value.length >= shortest);
}

function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const base64 = bytes.toString('base64').replace(/=+$/, '');
  const forms = [
    bytes.toString('latin1'),
    JSON.stringify(secret).slice(1, -1),
    base64,
    bytes.toString('base64url'),
  ];
  return [...new Set([...forms, encodeURIComponent(secret)])];
}

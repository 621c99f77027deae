import { createCipheriv, createDecipheriv, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { RouterError } from '../errors.ts';
import type { KeyRing } from './keyring.ts';

/** The deployment and field that a secret belongs to. A sealed secret can be unsealed only with the same context. */
export interface SealContext {
  /** `null`: a shared deployment. */
  teamId: string | null;
  deploymentId: string;
  field: string;
  provider: string;
  /** The normalised base URL with its path. */
  base: string;
  organization: string | null;
  project: string | null;
  tenantId: string | null;
  clientId: string | null;
}

const scheme = 'tmr1';
const algorithm = 'aes-256-gcm';
const saltBytes = 16;
const ivBytes = 12;
const tagBytes = 16;

/**
 * Seals a secret with the primary key. Returns `tmr1.<key id>.<salt>.<iv>.<ciphertext>.<tag>`, with the parts in
 * base64url.
 *
 * @throws RouterError `credential_unreadable` if the key ring has no primary key
 */
export function seal(ring: KeyRing, plaintext: string, context: SealContext): string {
  const keyId = ring.primaryId;
  const key = ring.get(keyId);
  if (key === undefined) throw credentialUnreadable();
  const salt = randomBytes(saltBytes);
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv(algorithm, deriveKey(key, salt), iv, { authTagLength: tagBytes });
  cipher.setAAD(additionalData(keyId, context));
  const ciphertext = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]);
  const parts = [salt, iv, ciphertext, cipher.getAuthTag()].map((part) => part.toString('base64url'));
  return [scheme, keyId, ...parts].join('.');
}

/**
 * Unseals a token that was sealed with the same context.
 *
 * @throws RouterError `credential_unreadable`
 */
export function unseal(ring: KeyRing, token: string, context: SealContext): string {
  const [version, keyId, ...encoded] = token.split('.');
  const [salt, iv, ciphertext, tag] = encoded.map(decodePart);
  const key = keyId === undefined ? undefined : ring.get(keyId);
  if (version !== scheme || keyId === undefined || key === undefined || encoded.length !== 4)
    throw credentialUnreadable();
  if (salt?.length !== saltBytes || iv?.length !== ivBytes || ciphertext === undefined)
    throw credentialUnreadable();
  // Node 20 to 24 also accept a tag of 4 bytes, which can be guessed quickly.
  if (tag?.length !== tagBytes) throw credentialUnreadable();
  try {
    const decipher = createDecipheriv(algorithm, deriveKey(key, salt), iv, { authTagLength: tagBytes });
    decipher.setAAD(additionalData(keyId, context));
    decipher.setAuthTag(tag);
    return Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString('utf8');
  } catch {
    throw credentialUnreadable();
  }
}

/** Returns the id of the key that sealed a token; `undefined` if the text is not a token. */
export function keyIdOf(token: string): string | undefined {
  const [version, keyId] = token.split('.');
  return version === scheme ? keyId : undefined;
}

// Derives a separate key per token, so that no key reaches its limit of uses.
function deriveKey(key: KeyObject, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, scheme, 32));
}

function additionalData(keyId: string, context: SealContext): Buffer {
  const { teamId, deploymentId, field, provider, base, organization, project, tenantId, clientId } = context;
  const bound = [teamId, deploymentId, field, provider, base, organization, project, tenantId, clientId];
  return Buffer.from(`${keyId}${JSON.stringify(bound)}`);
}

/** Rejects non-canonical base64url, because changed trailing bits would otherwise pass unnoticed. */
function decodePart(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

function credentialUnreadable(): RouterError {
  return new RouterError(
    'credential_unreadable',
    'The stored credential cannot be decrypted. Enter it again.',
  );
}

import { createCipheriv, createDecipheriv, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { RouterError } from '../errors.ts';
import type { KeyRing } from './keyring.ts';

/** Where a secret belongs, and the only place it opens for. */
export interface SealContext {
  /** `null`: a shared deployment. */
  teamId: string | null;
  deploymentId: string;
  field: string;
  provider: string;
  /** The whole normalised base, with its path. */
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

/** Seals a secret under the primary key: `tmr1.<key id>.<salt>.<iv>.<ciphertext>.<tag>`, the parts in base64url. */
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
 * Opens a token, if it is the one that was sealed for this very context.
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
  // Node 20 to 24 accept a tag of 4 bytes otherwise, which is guessed in no time.
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

/** The id of the key that a token was sealed under. */
export function keyIdOf(token: string): string | undefined {
  const [version, keyId] = token.split('.');
  return version === scheme ? keyId : undefined;
}

// A key of its own for each token: no count of uses of one key to keep.
function deriveKey(key: KeyObject, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, scheme, 32));
}

function additionalData(keyId: string, context: SealContext): Buffer {
  const { teamId, deploymentId, field, provider, base, organization, project, tenantId, clientId } = context;
  const bound = [teamId, deploymentId, field, provider, base, organization, project, tenantId, clientId];
  return Buffer.from(`${keyId}${JSON.stringify(bound)}`);
}

/** Only the one spelling that the encoder makes: a stray bit at the end would otherwise go unseen. */
function decodePart(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

function credentialUnreadable(): RouterError {
  return new RouterError(
    'credential_unreadable',
    'A stored secret does not open; it has to be entered again.',
  );
}

import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { RouterError } from '../errors.ts';

/**
 * A key that seals the secrets of teams.
 *
 * @example
 * ```ts
 * const encryptionKeys: EncryptionKey[] = JSON.parse(process.env.ENCRYPTION_KEYS ?? '[]');
 * const router = new TeamModelRouter({ storage, encryptionKeys });
 * ```
 */
export interface EncryptionKey {
  /** 1 to 64 letters, digits, `_` or `-`. Sealed secrets refer to it, so it must never be reused for another key. */
  id: string;
  /** 32 random bytes in base64. */
  key: string;
}

const keyBytes = 32;

/**
 * Generates a random encryption key. Store it like a database password, because sealed secrets cannot be read without
 * it.
 *
 * @example
 * ```ts
 * const key = generateEncryptionKey();
 * process.stdout.write(JSON.stringify([key])); // a value for TMR_ENCRYPTION_KEYS
 * ```
 */
export function generateEncryptionKey(id: string = `k${randomBytes(4).toString('hex')}`): EncryptionKey {
  return { id, key: randomBytes(keyBytes).toString('base64') };
}

/** Holds the encryption keys by id. The first key is primary and seals. All keys unseal. */
export class KeyRing {
  readonly primaryId: string;
  readonly #keys = new Map<string, KeyObject>();

  /** @throws RouterError `invalid_request` that names the invalid key without its value */
  constructor(keys: readonly EncryptionKey[]) {
    const [problem] = keyProblems(keys);
    if (problem !== undefined) {
      const [index, field] = problem.path;
      const param = field === undefined ? 'encryptionKeys' : `encryptionKeys[${index}].${field}`;
      throw new RouterError('invalid_request', `${param}: ${problem.message}.`, { param });
    }
    this.primaryId = keys[0]?.id ?? '';
    for (const { id, key } of keys) this.#keys.set(id, createSecretKey(Buffer.from(key, 'base64')));
  }

  get(id: string): KeyObject | undefined {
    return this.#keys.get(id);
  }
}

export interface KeyProblem {
  /** The index of the key and its field; empty for the list itself. */
  path: [] | [index: number, field: string];
  message: string;
}

/** Returns the problems of a list of keys. The messages never contain a key. */
export function keyProblems(keys: readonly unknown[]): KeyProblem[] {
  if (keys.length === 0)
    return [{ path: [], message: 'must have at least one key. Create one with generateEncryptionKey()' }];
  const problems: KeyProblem[] = [];
  const ids = new Set<unknown>();
  for (const [index, entry] of keys.entries()) {
    const { id, key } = (entry ?? {}) as Partial<Record<keyof EncryptionKey, unknown>>;
    const report = (field: string, message: string) => problems.push({ path: [index, field], message });
    if (typeof id !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(id))
      report('id', 'must be 1 to 64 letters, digits, _ or -');
    else if (ids.has(id)) report('id', 'already exists in the list. Give each key a unique id');
    else if (typeof key !== 'string' || !isKey(key)) report('key', `must be ${keyBytes} bytes in base64`);
    ids.add(id);
  }
  return problems;
}

/** Accepts canonical base64 only, because Node's decoder skips invalid characters. */
function isKey(text: string): boolean {
  const bytes = Buffer.from(text, 'base64');
  const canonical = [bytes.toString('base64'), bytes.toString('base64url')].includes(text);
  return canonical && bytes.length === keyBytes;
}

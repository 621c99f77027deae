import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { RouterError } from '../errors.ts';

/** A key that seals what the teams entrust to us. */
export interface EncryptionKey {
  /** 1 to 64 letters, digits, `_` or `-`; stored beside what it sealed, so it must never name another key. */
  id: string;
  /** 32 random bytes, in base64. */
  key: string;
}

const keyBytes = 32;

/** A new random key. Keep it as you keep a database password: without it nothing that it sealed can be read. */
export function generateEncryptionKey(id: string = `k${randomBytes(4).toString('hex')}`): EncryptionKey {
  return { id, key: randomBytes(keyBytes).toString('base64') };
}

/** The keys by their ids. The first is primary: it seals; all of them open. */
export class KeyRing {
  readonly primaryId: string;
  readonly #keys = new Map<string, KeyObject>();

  /** @throws RouterError `invalid_request` that names the key at fault, never what it is */
  constructor(keys: readonly EncryptionKey[]) {
    const [first] = keys;
    if (first === undefined) throw refusal('encryptionKeys', 'at least one key is needed');
    for (const [index, entry] of keys.entries()) this.#add(entry, `encryptionKeys[${index}]`);
    this.primaryId = first.id;
  }

  get(id: string): KeyObject | undefined {
    return this.#keys.get(id);
  }

  #add(entry: unknown, path: string): void {
    const { id, key } = (entry ?? {}) as Partial<Record<keyof EncryptionKey, unknown>>;
    if (typeof id !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(id)) {
      throw refusal(`${path}.id`, 'must be 1 to 64 letters, digits, _ or -');
    }
    if (this.#keys.has(id)) throw refusal(`${path}.id`, 'stands for two keys');
    const bytes = typeof key === 'string' ? decodeKey(key) : undefined;
    if (bytes === undefined) throw refusal(`${path}.key`, `must be ${keyBytes} bytes in base64`);
    this.#keys.set(id, createSecretKey(bytes));
  }
}

/** Node's decoder skips what it does not know: only text that it would write itself is taken. */
function decodeKey(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  const canonical = [bytes.toString('base64'), bytes.toString('base64url')].includes(text);
  return canonical && bytes.length === keyBytes ? bytes : undefined;
}

function refusal(param: string, message: string): RouterError {
  return new RouterError('invalid_request', `${param}: ${message}`, { param });
}

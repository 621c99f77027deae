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
    const [problem] = keyProblems(keys);
    if (problem !== undefined) {
      const [index, field] = problem.path;
      const param = field === undefined ? 'encryptionKeys' : `encryptionKeys[${index}].${field}`;
      throw new RouterError('invalid_request', `${param}: ${problem.message}`, { param });
    }
    this.primaryId = keys[0]?.id ?? '';
    for (const { id, key } of keys) this.#keys.set(id, createSecretKey(Buffer.from(key, 'base64')));
  }

  get(id: string): KeyObject | undefined {
    return this.#keys.get(id);
  }
}

export interface KeyProblem {
  /** The entry and its field; empty for the list itself. */
  path: [] | [index: number, field: string];
  message: string;
}

/** What is wrong with a list of keys, never what they are. */
export function keyProblems(keys: readonly unknown[]): KeyProblem[] {
  if (keys.length === 0)
    return [{ path: [], message: 'at least one key is needed, such as generateEncryptionKey() makes' }];
  const problems: KeyProblem[] = [];
  const ids = new Set<unknown>();
  for (const [index, entry] of keys.entries()) {
    const { id, key } = (entry ?? {}) as Partial<Record<keyof EncryptionKey, unknown>>;
    const tell = (field: string, message: string) => problems.push({ path: [index, field], message });
    if (typeof id !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(id))
      tell('id', 'must be 1 to 64 letters, digits, _ or -');
    else if (ids.has(id)) tell('id', 'stands for two keys');
    else if (typeof key !== 'string' || !isKey(key)) tell('key', `must be ${keyBytes} bytes in base64`);
    ids.add(id);
  }
  return problems;
}

/** Node's decoder skips what it does not know: only text that it would write itself is taken. */
function isKey(text: string): boolean {
  const bytes = Buffer.from(text, 'base64');
  const canonical = [bytes.toString('base64'), bytes.toString('base64url')].includes(text);
  return canonical && bytes.length === keyBytes;
}

import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { RouterError } from '../errors.ts';
import { type EncryptionKey, generateEncryptionKey } from '../index.ts';

/** A secret of the gateway and its source. */
export interface LoadedSecret<Value> {
  value: Value;
  /** Path of the file, or name of the variable. */
  from: string;
  isFile: boolean;
  /** Whether this start created the secret. */
  created: boolean;
}

/** Creates the data folder. Only its owner can read it. */
export async function createDataFolder(folder: string): Promise<void> {
  // The umask of the process may have changed the mode.
  if (await makeFolder(resolve(folder), false)) await chmod(folder, 0o700);
}

/**
 * Creates a folder and its parents. Returns whether the folder is new. Replaces Node's recursive `mkdir`, which never
 * ends if the file system answers ENOENT in an existing folder, as /proc does.
 */
async function makeFolder(folder: string, hasParent: boolean): Promise<boolean> {
  try {
    await mkdir(folder, { mode: 0o700 });
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code === 'EEXIST' && (await stat(folder)).isDirectory()) return false;
    if (!isMissing(error) || hasParent || dirname(folder) === folder) throw error;
  }
  await makeFolder(dirname(folder), false);
  return makeFolder(folder, true);
}

/**
 * Returns the encryption keys from the variable or from the file. Creates a key if neither exists and the storage is
 * new.
 *
 * @throws RouterError `invalid_request` for existing data without a key, because a new key could not unseal them
 */
export async function findEncryptionKeys(
  folder: string,
  configured: string | undefined,
  hasData: () => Promise<boolean>,
): Promise<LoadedSecret<EncryptionKey[]>> {
  if (configured !== undefined) {
    return {
      value: parseKeys(configured, 'TMR_ENCRYPTION_KEYS'),
      from: 'TMR_ENCRYPTION_KEYS',
      isFile: false,
      created: false,
    };
  }
  const path = join(folder, 'encryption-keys');
  const stored = await readIfThere(path);
  if (stored !== undefined)
    return { value: parseKeys(stored, path), from: path, isFile: true, created: false };
  if (await hasData()) {
    throw new RouterError(
      'invalid_request',
      `The storage has data, but there is no encryption key. Set TMR_ENCRYPTION_KEYS or restore ${path}. ` +
        'A new key could not decrypt the stored provider keys.',
    );
  }
  const { id, key } = generateEncryptionKey();
  const { text, created } = await createOnce(path, `${id}:${key}\n`);
  return { value: parseKeys(text, path), from: path, isFile: true, created };
}

/** Returns the master key from the variable or from the file. Creates one if neither exists. */
export async function findMasterKey(
  folder: string,
  configured: string | undefined,
): Promise<LoadedSecret<string>> {
  if (configured !== undefined)
    return { value: configured, from: 'TMR_MASTER_KEY', isFile: false, created: false };
  const path = join(folder, 'master-key');
  const stored = await readIfThere(path);
  if (stored !== undefined) return { value: stored.trim(), from: path, isFile: true, created: false };
  const { text, created } = await createOnce(path, `sk-${randomBytes(32).toString('base64url')}\n`);
  return { value: text.trim(), from: path, isFile: true, created };
}

export async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => {
      if (isMissing(error)) return false;
      throw error;
    },
  );
}

/**
 * Creates the file atomically. Of two processes that start at the same time, one creates the file and the other reads
 * it.
 */
async function createOnce(path: string, text: string): Promise<{ text: string; created: boolean }> {
  await createDataFolder(dirname(path));
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  await writeFile(draft, text, { mode: 0o600, flag: 'wx' });
  try {
    await chmod(draft, 0o600);
    await link(draft, path);
    return { text, created: true };
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'EEXIST') throw error;
    return { text: await readFile(path, 'utf8'), created: false };
  } finally {
    await rm(draft, { force: true });
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'ENOENT';
}

/** Parses `id:key` entries, separated by commas or line breaks, or a JSON list. */
function parseKeys(text: string, from: string): EncryptionKey[] {
  if (text.trimStart().startsWith('[')) return parseList(text, from);
  const entries = text.split(/[,\s]+/).filter(Boolean);
  return entries.map((entry) => {
    const colon = entry.indexOf(':');
    if (colon === -1) throw new RouterError('invalid_request', `${from}: must contain keys as id:key.`);
    return { id: entry.slice(0, colon), key: entry.slice(colon + 1) };
  });
}

/**
 * Parses a JSON list, which the router validates. Omits the error of `JSON.parse`, because it quotes the text and so
 * the keys.
 */
function parseList(text: string, from: string): EncryptionKey[] {
  try {
    return JSON.parse(text);
  } catch {
    throw new RouterError('invalid_request', `${from}: must contain keys as id:key, or as JSON.`);
  }
}

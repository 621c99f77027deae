import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { RouterError } from '../errors.ts';
import { type EncryptionKey, generateEncryptionKey } from '../index.ts';

/** A secret that the gateway runs with, and where it came from. */
export interface Found<Value> {
  value: Value;
  /** A file's path, or the variable's name. */
  from: string;
  isFile: boolean;
  /** Whether it was made just now. */
  made: boolean;
}

/** Creates the data folder, readable to its owner only. */
export async function makeDataFolder(folder: string): Promise<void> {
  // The process's umask may have removed bits of the mode.
  if (await makeFolder(resolve(folder), false)) await chmod(folder, 0o700);
}

/**
 * Creates a folder and its parents. Returns whether the folder is new. `mkdir` of Node with `recursive` never ends where the file
 * system answers ENOENT in a folder that exists, as /proc does.
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
 * The encryption keys: from the variable, else from the file, else, if there are no data yet, made now.
 *
 * @throws RouterError `invalid_request` if there are data and no key: a new one would open nothing of them
 */
export async function findEncryptionKeys(
  folder: string,
  given: string | undefined,
  hasData: () => Promise<boolean>,
): Promise<Found<EncryptionKey[]>> {
  if (given !== undefined) {
    return {
      value: parseKeys(given, 'TMR_ENCRYPTION_KEYS'),
      from: 'TMR_ENCRYPTION_KEYS',
      isFile: false,
      made: false,
    };
  }
  const path = join(folder, 'encryption-keys');
  const stored = await readIfThere(path);
  if (stored !== undefined) return { value: parseKeys(stored, path), from: path, isFile: true, made: false };
  if (await hasData()) {
    throw new RouterError(
      'invalid_request',
      `There are data in ${folder}, but no encryption key: neither TMR_ENCRYPTION_KEYS nor ${path}. ` +
        'Without the key that sealed them the stored provider keys cannot be read, so none is made anew.',
    );
  }
  const { id, key } = generateEncryptionKey();
  const { text, made } = await makeOnce(path, `${id}:${key}\n`);
  return { value: parseKeys(text, path), from: path, isFile: true, made };
}

/** The master key: from the variable, else from the file, else made now. */
export async function findMasterKey(folder: string, given: string | undefined): Promise<Found<string>> {
  if (given !== undefined) return { value: given, from: 'TMR_MASTER_KEY', isFile: false, made: false };
  const path = join(folder, 'master-key');
  const stored = await readIfThere(path);
  if (stored !== undefined) return { value: stored.trim(), from: path, isFile: true, made: false };
  const { text, made } = await makeOnce(path, `sk-${randomBytes(32).toString('base64url')}\n`);
  return { value: text.trim(), from: path, isFile: true, made };
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

/** Of two processes that start at once, one makes the file, whole, and the other reads it. */
async function makeOnce(path: string, text: string): Promise<{ text: string; made: boolean }> {
  await makeDataFolder(dirname(path));
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  await writeFile(draft, text, { mode: 0o600, flag: 'wx' });
  try {
    await chmod(draft, 0o600);
    await link(draft, path);
    return { text, made: true };
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'EEXIST') throw error;
    return { text: await readFile(path, 'utf8'), made: false };
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

/** `id:key`, separated by commas or line breaks; or JSON, as the router takes them. */
function parseKeys(text: string, from: string): EncryptionKey[] {
  if (text.trimStart().startsWith('[')) return parseList(text, from);
  const entries = text.split(/[,\s]+/).filter(Boolean);
  return entries.map((entry) => {
    const colon = entry.indexOf(':');
    if (colon === -1) throw new RouterError('invalid_request', `${from} must hold keys as id:key.`);
    return { id: entry.slice(0, colon), key: entry.slice(colon + 1) };
  });
}

/** What it holds is for the router to judge. What V8 says of broken JSON quotes it, and with it a key. */
function parseList(text: string, from: string): EncryptionKey[] {
  try {
    return JSON.parse(text);
  } catch {
    throw new RouterError('invalid_request', `${from} must hold keys as id:key, or as JSON.`);
  }
}

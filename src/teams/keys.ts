import { hash, randomBytes } from 'node:crypto';
import type { z } from 'zod';
import { RouterError } from '../errors.ts';
import type { KeyType, keyBody, keyPatch } from '../schemas.ts';
import type { Stamp } from './models.ts';
import { type KeyRecord, limits, type TeamRecord } from './record.ts';

/** A team key as the documented endpoints show it; the key itself is shown once, by `createKey`. */
export interface KeyView {
  /** The SHA-256 of the key, in hex: what it is stored under, and may be named by. */
  token: string;
  /** `sk-...wxyz`. */
  key_name: string;
  key_alias: string | null;
  team_id: string;
  key_type: KeyType;
  /** The public names that it may call; `null` for all of the team's. */
  models: string[] | null;
  /** When it ends, in ISO 8601; `null` for never. */
  expires: string | null;
  blocked: boolean;
  metadata: Record<string, unknown>;
  created_at: string;
  created_by: string;
  updated_at: string;
  updated_by: string;
}

const keyForm = /^sk-[A-Za-z0-9_-]{43,128}$/;
const tokenForm = /^[0-9a-f]{64}$/;

export function mintKey(): string {
  return `sk-${randomBytes(32).toString('base64url')}`;
}

/** Whether a text has the form of a key: whatever has not is refused without a look at the storage. */
export function isKey(text: string): boolean {
  return keyForm.test(text);
}

export function hashKey(key: string): string {
  return hash('sha256', key);
}

/**
 * The hash under which a key is stored, from the key or from the hash itself.
 *
 * @throws RouterError `key_not_found` for what is neither; it never repeats what was given, which may be a secret
 */
export function tokenOf(keyOrToken: string): string {
  if (typeof keyOrToken === 'string' && tokenForm.test(keyOrToken)) return keyOrToken;
  if (typeof keyOrToken !== 'string' || !isKey(keyOrToken)) throw keyNotFound();
  return hashKey(keyOrToken);
}

/** The one answer for a key that this team does not have, whoever else may have it. */
export function keyNotFound(): RouterError {
  return new RouterError('key_not_found', 'There is no such key in this team.', { param: 'key' });
}

/** @param now milliseconds since 1970 */
export function isExpired(key: Pick<KeyRecord, 'expires'>, now: number): boolean {
  return key.expires !== null && Date.parse(key.expires) <= now;
}

export function makeKeyRecord(key: string, given: z.output<typeof keyBody>, stamp: Stamp): KeyRecord {
  return {
    key_name: `sk-...${key.slice(-4)}`,
    key_alias: given.key_alias ?? null,
    key_type: given.key_type ?? 'default',
    models: given.models === undefined ? null : [...new Set(given.models)],
    metadata: given.metadata ?? {},
    expires: given.duration === undefined ? null : endOf(given.duration, stamp.at),
    blocked: false,
    created_at: stamp.at,
    created_by: stamp.by,
    updated_at: stamp.at,
    updated_by: stamp.by,
  };
}

/** Puts a key into the record. @throws RouterError `invalid_request` if the team has as many as it may have */
export function insertKey(record: TeamRecord, token: string, key: KeyRecord): void {
  if (record.keys.length >= limits.keys) {
    throw new RouterError('invalid_request', `A team may have ${limits.keys} keys at most.`);
  }
  record.keys.push([token, key]);
}

/** Takes the keys that have ended out of the record; their hashes. */
export function purgeExpired(record: TeamRecord, now: number): string[] {
  const ended = record.keys.filter(([, key]) => isExpired(key, now)).map(([token]) => token);
  if (ended.length > 0) record.keys = record.keys.filter(([, key]) => !isExpired(key, now));
  return ended;
}

export function findKey(record: TeamRecord, token: string): KeyRecord {
  const entry = record.keys.find(([candidate]) => candidate === token);
  if (entry === undefined) throw keyNotFound();
  return entry[1];
}

/** Only what is sent changes; `null` clears, which for `models` means all and for `duration` never to end. */
export function patchKey(key: KeyRecord, patch: z.output<typeof keyPatch>, stamp: Stamp): void {
  const { key_alias, key_type, models, duration, metadata } = patch;
  if (key_alias !== undefined) key.key_alias = key_alias;
  if (key_type !== undefined) key.key_type = key_type;
  if (models !== undefined) key.models = models === null ? null : [...new Set(models)];
  if (duration !== undefined) key.expires = duration === null ? null : endOf(duration, stamp.at);
  if (metadata !== undefined) key.metadata = metadata ?? {};
  touchKey(key, stamp);
}

export function touchKey(key: KeyRecord, stamp: Stamp): void {
  key.updated_at = stamp.at;
  key.updated_by = stamp.by;
}

export function keyView(teamId: string, token: string, key: KeyRecord): KeyView {
  const { key_name, key_alias, key_type, models, expires, blocked, metadata, ...stamps } = key;
  const { created_at, created_by, updated_at, updated_by } = stamps;
  const dates = { created_at, created_by, updated_at, updated_by };
  const shown = { token, key_name, key_alias, team_id: teamId, key_type };
  return { ...shown, models: models && [...models], expires, blocked, metadata, ...dates };
}

const secondsOf = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800, mo: 2_592_000 } as const;

/** @throws RouterError `invalid_request` for an end that no date can name */
function endOf(duration: string, from: string): string {
  const [, count = '', unit = ''] = /^(\d+)(\D+)$/.exec(duration) ?? [];
  const end = Date.parse(from) + Number(count) * secondsOf[unit as keyof typeof secondsOf] * 1000;
  if (end <= Date.parse('9999-12-31T00:00:00Z')) return new Date(end).toISOString();
  throw new RouterError('invalid_request', 'duration: ends too far in the future', { param: 'duration' });
}

import { hash, randomBytes } from 'node:crypto';
import type { z } from 'zod';
import { RouterError } from '../../errors.ts';
import type { keyBody, keyPatch } from '../../schemas/bodies.ts';
import type { KeyType } from '../../schemas/body-types.ts';
import { allOfTeam, storedNames } from '../../schemas/names.ts';
import { type KeyRecord, limits, type TeamRecord } from '../records/team-record.ts';
import type { Stamp } from './edit-model.ts';

/**
 * A team key as the documented endpoints return it. Only `createKey` and `regenerateKey` return the key itself,
 * once.
 *
 * @example
 * ```ts
 * const view: KeyView = await router.getKey('acme', key);
 * console.log(view.key_alias, view.models, view.expires);
 * ```
 */
export interface KeyView {
  /** SHA-256 of the key, in hex. The key is stored under this hash, and requests may name the key by it. */
  token: string;
  /** `sk-...wxyz`. */
  key_name: string;
  key_alias: string | null;
  team_id: string;
  key_type: KeyType;
  /** Public names that the key may call; `['all-team-models']` for all of the team's. */
  models: string[];
  /** Time when the key expires, in ISO 8601; `null`: never. */
  expires: string | null;
  blocked: boolean;
  metadata: Record<string, unknown>;
  /** Older secrets that are still valid after `regenerateKey`, by their SHA-256, each with its expiry. */
  previous: { token: string; expires: string }[];
  created_at: string;
  created_by: string;
  updated_at: string;
  updated_by: string;
}

/**
 * A key with its secret, returned once when the secret is created.
 *
 * @example
 * ```ts
 * const created: NewKey = await router.createKey('acme', { key_alias: 'support bot' });
 * console.log(created.key);
 * ```
 */
export interface NewKey extends KeyView {
  /** The secret itself. It is stored nowhere. */
  key: string;
  /** The same as `token`. */
  token_id: string;
}

const keyForm = /^sk-[A-Za-z0-9_-]{43,128}$/;
const tokenForm = /^[0-9a-f]{64}$/;

export function mintKey(): string {
  return `sk-${randomBytes(32).toString('base64url')}`;
}

/** Returns whether a text has the form of a key. Other texts are rejected without reading the storage. */
export function isKey(text: string): boolean {
  return keyForm.test(text);
}

export function hashKey(key: string): string {
  return hash('sha256', key);
}

/**
 * Returns the hash under which a key is stored, from the key or from the hash itself.
 *
 * @throws RouterError `key_not_found` for any other text. The error does not repeat the text, which may be a
 * secret.
 */
export function tokenOf(keyOrToken: string): string {
  if (typeof keyOrToken === 'string' && tokenForm.test(keyOrToken)) return keyOrToken;
  if (typeof keyOrToken !== 'string' || !isKey(keyOrToken)) throw keyNotFound();
  return hashKey(keyOrToken);
}

/** Returns the error for a key that this team does not have, whether or not another team has it. */
export function keyNotFound(): RouterError {
  return new RouterError('key_not_found', 'Key not found.', { param: 'key' });
}

/**
 * Returns whether a key has expired.
 *
 * @param now milliseconds since 1970
 */
export function isExpired(key: Pick<KeyRecord, 'expires'>, now: number): boolean {
  return key.expires !== null && Date.parse(key.expires) <= now;
}

/** Returns the part of a key's secret that may be shown. */
export function keyNameOf(secret: string): string {
  return `sk-...${secret.slice(-4)}`;
}

export function makeKeyRecord(key: string, given: z.output<typeof keyBody>, stamp: Stamp): KeyRecord {
  return {
    key_name: keyNameOf(key),
    key_alias: given.key_alias ?? null,
    key_type: given.key_type ?? 'default',
    models: storedNames(given.models),
    metadata: given.metadata ?? {},
    expires: given.duration === undefined ? null : endOf(given.duration, stamp.at),
    blocked: given.blocked ?? false,
    created_at: stamp.at,
    created_by: stamp.by,
    updated_at: stamp.at,
    updated_by: stamp.by,
  };
}

/**
 * Inserts a key into the record.
 *
 * @throws RouterError `invalid_request` if the team has reached its limit of keys
 */
export function insertKey(record: TeamRecord, token: string, key: KeyRecord): void {
  if (record.keys.length >= limits.keys) {
    throw new RouterError(
      'invalid_request',
      `The team's keys must be at most ${limits.keys}. Delete a key first.`,
    );
  }
  record.keys.push([token, key]);
}

/** Removes expired keys and expired older secrets from the record. Returns their hashes. */
export function purgeExpired(record: TeamRecord, now: number): string[] {
  const ended: string[] = [];
  const kept: TeamRecord['keys'] = [];
  for (const [token, key] of record.keys) {
    const { previous = [] } = key;
    const valid = previous.filter((secret) => isValid(secret, now));
    if (isExpired(key, now)) ended.push(token, ...previous.map(([old]) => old));
    else if (valid.length === previous.length) kept.push([token, key]);
    else {
      ended.push(...previous.filter((secret) => !isValid(secret, now)).map(([old]) => old));
      kept.push([token, { ...key, previous: valid }]);
    }
  }
  if (ended.length > 0) record.keys = kept;
  return ended;
}

/** Returns the hashes of a key's current and older secrets. */
export function tokensOf([token, { previous = [] }]: TeamRecord['keys'][number]): string[] {
  return [token, ...previous.map(([old]) => old)];
}

/**
 * Finds a key by the hash of its current secret or of an older secret that is still valid.
 *
 * @throws RouterError `key_not_found`
 */
export function findKey(record: TeamRecord, token: string, now: number = Date.now()): [string, KeyRecord] {
  const entry = record.keys.find((candidate) => opens(candidate, token, now));
  if (entry === undefined) throw keyNotFound();
  return entry;
}

export function hasKey(record: TeamRecord, token: string): boolean {
  const now = Date.now();
  return record.keys.some((entry) => opens(entry, token, now));
}

function opens([current, { previous }]: [string, KeyRecord], token: string, now: number): boolean {
  if (current === token) return true;
  return previous?.some((secret) => secret[0] === token && isValid(secret, now)) ?? false;
}

/** A key of a compiled snapshot: its permissions, and the hash that it is stored under. */
export type CompiledKey = KeyRecord & { token: string };

/**
 * Returns the keys by the hash of each secret that is valid for them. An older secret expires with its grace
 * period.
 */
export function compileKeys(record: TeamRecord): ReadonlyMap<string, CompiledKey> {
  const compiled = new Map<string, CompiledKey>();
  for (const [token, key] of record.keys) {
    const { expires, previous = [] } = key;
    compiled.set(token, { ...key, token });
    for (const [old, end] of previous) compiled.set(old, { ...key, token, expires: earlier(expires, end) });
  }
  return compiled;
}

function earlier(expires: string | null, end: string): string {
  return expires !== null && Date.parse(expires) < Date.parse(end) ? expires : end;
}

/** Returns whether an older secret of a key is still valid. */
export function isValid([, end]: readonly [string, string], now: number): boolean {
  return Date.parse(end) > now;
}

/**
 * Applies the fields that are sent. `null` clears a field: for `models` that means all models, for `duration`
 * no expiry.
 */
export function patchKey(key: KeyRecord, patch: z.output<typeof keyPatch>, stamp: Stamp): void {
  const { key_alias, key_type, models, duration, metadata, blocked } = patch;
  if (key_alias !== undefined) key.key_alias = key_alias;
  if (key_type !== undefined) key.key_type = key_type;
  if (models !== undefined) key.models = storedNames(models);
  if (duration !== undefined) key.expires = duration === null ? null : endOf(duration, stamp.at);
  if (metadata !== undefined) key.metadata = metadata ?? {};
  if (blocked !== undefined) key.blocked = blocked ?? false;
  touchKey(key, stamp);
}

export function touchKey(key: KeyRecord, stamp: Stamp): void {
  key.updated_at = stamp.at;
  key.updated_by = stamp.by;
}

export function keyView(teamId: string, token: string, key: KeyRecord): KeyView {
  const { key_name, key_alias, key_type, models, expires, blocked, metadata, previous = [], ...stamps } = key;
  const { created_at, created_by, updated_at, updated_by } = stamps;
  const now = Date.now();
  return {
    token,
    key_name,
    key_alias,
    team_id: teamId,
    key_type,
    models: models === null ? [allOfTeam] : [...models],
    expires,
    blocked,
    metadata,
    previous: previous
      .filter((secret) => isValid(secret, now))
      .map(([old, end]) => ({ token: old, expires: end })),
    created_at,
    created_by,
    updated_at,
    updated_by,
  };
}

const secondsOf = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800, mo: 2_592_000 } as const;

/**
 * Returns the time when a duration ends.
 *
 * @throws RouterError `invalid_request` if the end exceeds what a date can hold
 */
export function endOf(duration: string, from: string, param = 'duration'): string {
  const [, count = '', unit = ''] = /^(\d+)(\D+)$/.exec(duration) ?? [];
  const end = Date.parse(from) + Number(count) * secondsOf[unit as keyof typeof secondsOf] * 1000;
  if (end <= Date.parse('9999-12-31T00:00:00Z')) return new Date(end).toISOString();
  throw new RouterError('invalid_request', `${param}: ends too far in the future`, { param });
}

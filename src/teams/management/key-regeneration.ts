import { z } from 'zod';
import { RouterError } from '../../errors.ts';
import { keyBody } from '../../schemas/bodies.ts';
import type { KeyBody } from '../../schemas/body-types.ts';
import { type KeyRecord, limits } from '../records/team-record.ts';
import { endOf, isExpired, isValid, keyNameOf, patchKey } from './edit-key.ts';
import type { Stamp } from './edit-model.ts';

const { key_alias, key_type, models, duration, metadata } = keyBody.shape;

/** Body of `POST /key/regenerate`, without the key itself. Absent fields and `null` change nothing. */
export const keyRegeneration = z.strictObject({
  /**
   * Time for which the old secret stays valid. If absent, all older secrets of the key are revoked immediately.
   */
  grace_period: duration,
  key_alias,
  key_type,
  models,
  duration,
  metadata,
});

/**
 * The body of `regenerateKey` and `POST /key/regenerate`.
 *
 * @example
 * ```ts
 * const options: KeyRegeneration = { grace_period: '1d' };
 * const { key: newKey } = await router.regenerateKey('acme', key, options);
 * ```
 */
export type KeyRegeneration = Omit<KeyBody, 'team_id'> & { grace_period?: string | null | undefined };

/**
 * Returns the key's record under a new secret. Changes only the fields that are sent.
 *
 * @throws RouterError `invalid_request` if the key has expired, or has reached its limit of valid secrets
 */
export function regenerate(
  [token, before]: readonly [string, KeyRecord],
  secret: string,
  { grace_period, ...fields }: z.output<typeof keyRegeneration>,
  stamp: Stamp,
): KeyRecord {
  const now = Date.parse(stamp.at);
  const kept = (before.previous ?? []).filter((old) => isValid(old, now));
  const after: KeyRecord = { ...before, key_name: keyNameOf(secret), previous: [] };
  if (grace_period !== undefined) {
    if (kept.length >= limits.previousSecrets) {
      const message = `grace_period: ${limits.previousSecrets} older secrets of this key are already valid. Omit the field, or delete one of them.`;
      throw new RouterError('invalid_request', message, { param: 'grace_period' });
    }
    const end = endOf(grace_period, stamp.at, 'grace_period');
    const ends =
      before.expires !== null && Date.parse(before.expires) < Date.parse(end) ? before.expires : end;
    after.previous = [...kept, [token, ends]];
  }
  patchKey(after, fields, stamp);
  if (!isExpired(after, now)) return after;
  const message = 'duration: is required, because the key has expired';
  throw new RouterError('invalid_request', message, { param: 'duration' });
}

import { randomBytes } from 'node:crypto';
import type { Version } from '../storage.ts';

/** Number of characters of a version. SQL that compares the heads of rows depends on it. */
export const versionLength = 22;

/** Returns 128 random bits in base64url. */
export function newVersion(): Version {
  return randomBytes(16).toString('base64url');
}

import { randomBytes } from 'node:crypto';
import type { Version } from '../storage.ts';

/** How many characters a version of `newVersion` has; SQL that compares heads of rows relies on it. */
export const versionLength = 22;

/** 128 random bits, base64url. */
export function newVersion(): Version {
  return randomBytes(16).toString('base64url');
}

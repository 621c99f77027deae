import { readFileSync } from 'node:fs';

export interface DialledCase {
  base: string;
  /** What its name resolves to. */
  answers: string[][];
  why: string;
}

/** `api_base` values that are refused when a team sends them, by what is wrong with them. */
export const refusedWhenStored = read<Record<string, string[]>>('refused-when-stored.json');
/** Names that may be public ones, and resolve to what is not. */
export const refusedWhenDialled = read<DialledCase[]>('refused-when-dialled.json');
/** Names and ids that would climb out of a path, or into another part of a URL. */
export const identifiers =
  read<Record<'deployments' | 'models' | 'tenants' | 'paths', string[]>>('identifiers.json');
/** Bases that are as they should be, some by the operator's exceptions. */
export const accepted = read<{ base: string; allow?: string[] }[]>('accepted.json');

export const hostileBases = Object.values(refusedWhenStored).flat();

function read<Content>(name: string): Content {
  return JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8')) as Content;
}

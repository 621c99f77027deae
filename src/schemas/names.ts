import { z } from 'zod';
import { internalPrefix, isIndirectValue, isText } from './fields.ts';

/** Allows every shared model if it is in a team's allow-list. */
export const allSharedNames = 'all-proxy-models';

/** The only name in the list of a key that may call all models of its team. */
export const allOfTeam = 'all-team-models';

/** Names that allow every model if they are in a key's list. */
const allOfKey: readonly string[] = ['*', allOfTeam, allSharedNames];

/** Allows no model. Adds nothing to a list with other names. */
const none = 'no-default-models';

const meaningful: readonly string[] = [allOfTeam, allSharedNames, none];

/** Accepts up to `max` characters of text. */
export const plain = (max: number) =>
  z
    .string()
    .max(max)
    .refine(isText, 'must be text without control characters')
    .refine((value) => !isIndirectValue(value), 'must be the value itself, not a reference to one');

/** Accepts up to `max` characters of text that is not blank. */
export const filled = (max: number) => plain(max).refine((value) => value.trim() !== '', 'must not be empty');

/** Invisible characters and white space around a name are a mistake of the clipboard. No call would find the name. */
const edged = /^[\s\p{Default_Ignorable_Code_Point}\p{Cf}]|[\s\p{Default_Ignorable_Code_Point}\p{Cf}]$/u;

function isBare(name: string): boolean {
  return !edged.test(name);
}

const notBare = 'must be the name alone. Remove spaces and invisible characters around it.';

/** Returns whether a name is a pattern. LiteLLM supports names with `*`, but no name would match it here. */
function isPattern(name: string): boolean {
  return name.includes('*');
}

/** Normalises a name as LiteLLM does: `All_Team Models` becomes `all-team-models`. */
function spelling(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/[\s_]+/g, '-');
}

/** Returns whether a name is one of LiteLLM's words for many models, in any spelling. */
function isReserved(name: string): boolean {
  return meaningful.includes(spelling(name));
}

const noPattern = 'must be one name. Patterns with "*" are not supported';

/**
 * Returns whether a name can be the source or the target of a fallback: neither a pattern nor a word for many models.
 */
export function isFallbackName(name: string): boolean {
  return !isPattern(name) && !isReserved(name);
}

/** The model of a client's calls that name no model. */
export const defaultName = z
  .string()
  .refine(isFallbackName, 'must be the public name of one model, not a pattern');

/** Names of fallback models. */
export const fallbackNames = z.array(
  z.string().refine(isFallbackName, 'must be the public name of one model, not a pattern'),
);

/**
 * The name by which a team calls its model: 1 to 256 characters. The prefix `model_name_` is reserved for internal
 * names.
 */
export const publicName = filled(256)
  .refine((value) => !value.startsWith(internalPrefix), `must not begin with ${internalPrefix}`)
  .refine(
    (value) => !isPattern(value),
    `${noPattern}. Add a model for each name that is called, such as gpt-4o.`,
  )
  .refine(
    (value) => !isReserved(value),
    'is reserved, because it means all models or no models in the lists of keys and teams',
  )
  .refine(isBare, notBare);

/** The provider's name of a model. */
export const providerModel = filled(512)
  .refine(
    (value) => !isPattern(value),
    'must be one model. Patterns with "*" are not supported. Add a model for each, such as openai/gpt-4o.',
  )
  .refine(
    (value) => !/^[\s"'`]|[\s"'`,;]$|[\p{Default_Ignorable_Code_Point}\p{Cf}]/u.test(value),
    'must be the name alone. Remove spaces, quotation marks and invisible characters around it.',
  );

const nameOfKey = filled(256)
  .refine(
    (name) => !isPattern(name) || name === '*',
    `${noPattern}. Write each public name, or leave models out for all of the team's.`,
  )
  .refine(
    (name) => !isReserved(name) || meaningful.includes(name),
    `must be spelt as one of ${meaningful.join(', ')}`,
  )
  .refine(isBare, notBare);

/**
 * Public names that a key may call; `[]` allows none. Accepts LiteLLM's words for all and none, and rejects patterns.
 * Returns `['all-team-models']` for a list that allows all.
 */
export const keyModels = namesOfKey(1000);

/** Public names that a caller may call, for callers that the application names itself. */
export const callerModels = namesOfKey(Number.MAX_SAFE_INTEGER);

function namesOfKey(max: number) {
  return z
    .array(nameOfKey)
    .max(max)
    .refine(
      (names) => !isContradiction(names),
      `must not contain ${none} and a word for all models. Send [] for none, or leave models out for all.`,
    )
    .transform((names) =>
      names.some(isAll) ? [allOfTeam] : [...new Set(names)].filter((name) => name !== none),
    );
}

function isAll(name: string): boolean {
  return allOfKey.includes(name);
}

/** Returns the stored form of a list: `null` for all. */
export function storedNames(names: readonly string[] | null | undefined): string[] | null {
  return names === undefined || names === null || names.some(isAll) ? null : [...new Set(names)];
}

function isContradiction(names: readonly string[]): boolean {
  return names.includes(none) && names.some(isAll);
}

/** Returns whether a list allows a public name. An absent list allows all names. */
export function allows(names: readonly string[] | null | undefined, name: string): boolean {
  return names === undefined || names === null || names.includes(name) || names.some(isAll);
}

/**
 * Returns the names that a caller may use, or `null` for all.
 *
 * @throws the error of `refusal` for a pattern, which would allow nothing, and for a contradictory list
 */
export function callersNames(
  names: readonly string[] | null | undefined,
  refusal: (problem: string) => Error,
): readonly string[] | null {
  if (names === undefined || names === null) return null;
  if (isContradiction(names)) throw refusal(`must not contain ${none} and a word for all models`);
  if (names.some(isAll)) return null;
  if (names.some(isPattern)) throw refusal(`${noPattern}. Write each public name.`);
  return names;
}

const sharedName = filled(256)
  .refine(
    (name) => !isPattern(name) || name === '*',
    `${noPattern}. Write each shared name, or ${allSharedNames} for all.`,
  )
  .refine(
    (name) => spelling(name) !== allOfTeam,
    `must be a shared name, because a team may always use its own models. Write ${allSharedNames} for every shared one.`,
  )
  .refine(
    (name) => !isReserved(name) || meaningful.includes(name),
    `must be spelt as one of ${allSharedNames}, ${none}`,
  )
  .refine(isBare, notBare);

/** Shared names that a team may use. `*` becomes `all-proxy-models`. `no-default-models` adds no name. */
export const teamModels = z
  .array(sharedName)
  .max(1000)
  .refine(
    (names) => !isContradiction(names),
    `must not contain ${none} and ${allSharedNames}. Send [] for none.`,
  )
  .transform((names) => {
    const written = names.map((name) => (name === '*' ? allSharedNames : name));
    return [...new Set(written)].filter((name) => name !== none);
  });

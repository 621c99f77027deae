import { z } from 'zod';
import { internalPrefix, isIndirectValue, isText } from './fields.ts';

/** An allow-list of a team that holds this name allows every shared model. */
export const allSharedNames = 'all-proxy-models';

/** The list of a key that may call all of its team's models has this name alone. */
export const allOfTeam = 'all-team-models';

/** What means every model in the list of a key. */
const allOfKey: readonly string[] = ['*', allOfTeam, allSharedNames];

/** What means no model; beside other names it adds none. */
const none = 'no-default-models';

const meaningful: readonly string[] = [allOfTeam, allSharedNames, none];

/** Up to `max` characters of text. */
export const plain = (max: number) =>
  z
    .string()
    .max(max)
    .refine(isText, 'must be text without control characters')
    .refine((value) => !isIndirectValue(value), 'must be the value itself, not a reference to one');

/** The same, and not blank. */
export const filled = (max: number) => plain(max).refine((value) => value.trim() !== '', 'must not be empty');

/** A name with `*` in it is a pattern in LiteLLM; here nothing would ever match it. */
function isPattern(name: string): boolean {
  return name.includes('*');
}

/** A name as LiteLLM spells its words: `All_Team Models` means `all-team-models`. */
function spelling(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/[\s_]+/g, '-');
}

/** Whether a name is one of LiteLLM's words for many models, in whatever spelling. */
function isReserved(name: string): boolean {
  return meaningful.includes(spelling(name));
}

const noPattern = 'must be one name: patterns with "*" are not supported';

/** Whether a text can be the name to fall back to, or from: no pattern, and no word for many models. */
export function isFallbackName(name: string): boolean {
  return !isPattern(name) && !isReserved(name);
}

/** The name of a model that a client calls where a call names none. */
export const defaultName = z
  .string()
  .refine((name) => name === '*' || isFallbackName(name), 'must be the public name of one model, no pattern');

/** Names to fall back to. */
export const fallbackNames = z.array(
  z.string().refine(isFallbackName, 'must be the public name of one model, no pattern'),
);

/** The name a team calls its model by: 1 to 256 characters; `model_name_` is reserved for internal names. */
export const publicName = filled(256)
  .refine((value) => !value.startsWith(internalPrefix), `must not begin with ${internalPrefix}`)
  .refine(
    // By itself it is a name like any other: no pool serves names that it does not have.
    (value) => !isPattern(value) || value === '*',
    `${noPattern}. Add a model for each name that is called, such as gpt-4o.`,
  )
  .refine(
    (value) => !isReserved(value),
    'must be a name of its own: this one means all models, or none, in the lists of keys and teams',
  );

/** What the provider calls a model. */
export const providerModel = filled(512)
  .refine(
    (value) => !isPattern(value),
    'must be one model: patterns with "*" are not supported. Add a model for each, such as openai/gpt-4o.',
  )
  .refine(
    (value) => !/^[\s"'`]|[\s"'`,;]$|[\p{Default_Ignorable_Code_Point}\p{Cf}]/u.test(value),
    'must be the name alone. Remove spaces, quotation marks and invisible characters around it.',
  );

const listed = filled(256);

const nameOfKey = listed
  .refine(
    (name) => !isPattern(name) || name === '*',
    `${noPattern}. Write each public name, or leave models out for all of the team's.`,
  )
  .refine(
    (name) => !isReserved(name) || meaningful.includes(name),
    `must be spelt as one of ${meaningful.join(', ')}`,
  );

/**
 * The public names that a key may call: `[]` for none. LiteLLM's words for all and none are honoured, patterns are refused. A list that
 * allows all is `['all-team-models']`.
 */
export const keyModels = namesOfKey(1000);

/** The same of a caller that the application names itself. */
export const callerModels = namesOfKey(Number.MAX_SAFE_INTEGER);

function namesOfKey(most: number) {
  return z
    .array(nameOfKey)
    .max(most)
    .refine(
      (names) => !isContradiction(names),
      `must not hold ${none} and a word for all models. Send [] for none, or leave models out for all.`,
    )
    .transform((names) =>
      names.some(isAll) ? [allOfTeam] : [...new Set(names)].filter((name) => name !== none),
    );
}

function isAll(name: string): boolean {
  return allOfKey.includes(name);
}

/** A list as it is stored: `null` for all. */
export function storedNames(names: readonly string[] | null | undefined): string[] | null {
  return names === undefined || names === null || names.some(isAll) ? null : [...new Set(names)];
}

function isContradiction(names: readonly string[]): boolean {
  return names.includes(none) && names.some(isAll);
}

/** Whether a list of names allows a public name; no list allows all. */
export function allows(names: readonly string[] | null | undefined, name: string): boolean {
  return names === undefined || names === null || names.includes(name) || names.some(isAll);
}

/**
 * Returns the names that a caller may use, or `null` for all.
 *
 * @throws what `refusal` makes of a pattern, which would allow nothing, and of a list that contradicts itself
 */
export function callersNames(
  names: readonly string[] | null | undefined,
  refusal: (problem: string) => Error,
): readonly string[] | null {
  if (names === undefined || names === null) return null;
  if (isContradiction(names)) throw refusal(`must not hold ${none} and a word for all models`);
  if (names.some(isAll)) return null;
  if (names.some(isPattern)) throw refusal(`${noPattern}. Write each public name.`);
  return names;
}

const sharedName = listed
  .refine(
    (name) => !isPattern(name) || name === '*',
    `${noPattern}. Write each shared name, or ${allSharedNames} for all.`,
  )
  .refine(
    (name) => spelling(name) !== allOfTeam,
    `must be a shared name: a team may use its own models in any case. Write ${allSharedNames} for every shared one.`,
  )
  .refine(
    (name) => !isReserved(name) || meaningful.includes(name),
    `must be spelt as one of ${allSharedNames}, ${none}`,
  );

/** The shared names that a team may use. `*` is written as `all-proxy-models`; `no-default-models` adds none. */
export const teamModels = z
  .array(sharedName)
  .max(1000)
  .refine(
    (names) => !isContradiction(names),
    `must not hold ${none} and ${allSharedNames}. Send [] for none.`,
  )
  .transform((names) => {
    const written = names.map((name) => (name === '*' ? allSharedNames : name));
    return [...new Set(written)].filter((name) => name !== none);
  });

import type { FieldRule, FieldRules } from '../json/shape.ts';
import { sharedFields } from './shared-fields.ts';

/** `name`, `name[]`, `name[0]` and `name[key]`, as clients write lists and objects. */
const bracketed = /^([^[\]]+)((?:\[[^[\]]*\])*)$/;

/**
 * Returns the place in a body that the name of a form's field means, such as `image` for `image[]` and `image[0]`, and
 * `image.file_id` for `image[][file_id]`. Returns any other name as it is.
 */
export function fieldPath(name: string): string {
  const [, start, brackets] = bracketed.exec(name) ?? [];
  if (start === undefined || brackets === undefined) return name;
  const keys = [...brackets.matchAll(/\[([^\]]*)\]/g)].map(([, key = '']) => key);
  return [start, ...keys.filter((key) => !/^\d*$/.test(key))].join('.');
}

/**
 * Returns whether a field of a form is known to be stateless. A field that JSON may only switch off is not
 * stateless in a form.
 */
export function isListedField(endpointId: string, name: string): boolean {
  const [, start] = bracketed.exec(name) ?? [];
  const path = fieldPath(name);
  // A dot of the name itself is no step down.
  if (start === undefined || start.includes('.')) return false;
  let rule: FieldRule | undefined = sharedFields[endpointId];
  for (const key of path.split('.')) rule = memberOf(rule, key);
  return rule !== undefined && rule !== 'off';
}

function memberOf(rule: FieldRule | undefined, key: string): FieldRule | undefined {
  if (rule === 'free') return rule;
  if (typeof rule !== 'object' || Array.isArray(rule)) return undefined;
  return Object.hasOwn(rule, key) ? (rule as FieldRules)[key] : undefined;
}

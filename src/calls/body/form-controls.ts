import { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { ReadField } from '../form/multipart-scanner.ts';
import { baseName } from '../form/part-headers.ts';
import { CallControls } from '../json/call-controls.ts';
import { isCallControl, isUsed, listNames, type UsedName } from '../json/control-names.ts';

/** The fields of a form that have been read. */
interface ReadForm {
  names: readonly string[];
  values: readonly ReadField[];
}

/**
 * Returns the call controls among the fields of a form that have been read, or `undefined` without one. An empty value
 * means "not given", because a form has no null.
 *
 * @throws RouterError `invalid_request` for a name that no deployment may get
 */
export function formControls({ names, values }: ReadForm): CallControls | undefined {
  const controls = [...new Set(names.map(baseName).filter(isCallControl))];
  if (controls.length === 0) return undefined;
  const valuesOf = (name: UsedName) => values.filter((field) => baseName(field.name) === name);
  const given = controls.filter((name) => !isUsed(name) || valuesOf(name).some(({ value }) => value !== ''));
  return new CallControls(controls, { given, read: (name) => readValue(name, valuesOf(name)) });
}

/** Returns whether the fields that have been read ask for a stream of events. */
export function asksForStream({ values }: Pick<ReadForm, 'values'>): boolean {
  return values.some(({ name, value }) => name === 'stream' && /^(true|1|yes|on)$/i.test(value));
}

/** Returns the error of a call control that arrives after the provider got the first bytes of the form. */
export function lateControl(names: readonly string[], { params }: Deployment): RouterError | undefined {
  const name = names.map(baseName).find(isCallControl);
  if (name === undefined || params.allow_fields?.includes(name)) return undefined;
  const action = isUsed(name) ? `Put it in front of the file${headerHint(name)}` : 'Remove it';
  const param = name.slice(0, 64);
  return new RouterError('invalid_request', `${param}: must not follow a long file. ${action}.`, { param });
}

function headerHint(name: UsedName): string {
  return name === 'fallbacks' ? '' : `, or use the header x-litellm-${name.replaceAll('_', '-')}`;
}

function readValue(name: UsedName, fields: readonly ReadField[]): unknown {
  const values = fields.map(({ value }) => value);
  const [first = ''] = values;
  if (!listNames.has(name))
    return values.length === 1 && /^\d+(\.\d+)?$/.test(first) ? Number(first) : Number.NaN;
  return values.length === 1 && first.startsWith('[') ? jsonOf(first) : values;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return Number.NaN;
  }
}

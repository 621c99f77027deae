import { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { Endpoint } from '../endpoints/table.ts';
import { baseName } from '../form/part-headers.ts';
import { type BodyScan, isFalse, isTrue } from '../json/body.ts';
import { isCallControl } from '../json/control-names.ts';
import { fieldPath, isListedField } from './form-fields.ts';
import { isProviderField } from './provider-fields.ts';

const statelessOnly = 'A shared model serves stateless calls only.';

/** A JSON body as it was read. */
export interface ReadBody {
  bytes: Buffer;
  scan: BodyScan;
}

/** Whether the provider keeps the answer: a response unless it is told not to, a completion if it is told to. */
export function keepsAnswer(endpoint: Endpoint, { bytes, scan }: ReadBody): boolean {
  const store = scan.keys.get('store');
  return endpoint.id === 'chat.completions.create' ? isTrue(bytes, store) : !isFalse(bytes, store);
}

/**
 * Returns the error of a call that may not go to a shared deployment, because it would read or leave something in the
 * operator's account, or because a field of its body is not known not to.
 */
export function statefulReason(
  endpoint: Endpoint,
  body?: ReadBody,
  deployment?: Pick<Deployment, 'target' | 'params'>,
): RouterError | undefined {
  if (endpoint.stateful)
    return statefulField(
      `${endpoint.method} ${endpoint.path} reads or leaves objects in the provider's account.`,
    );
  if (body === undefined) return undefined;
  const { bytes, scan } = body;
  if (endpoint.id === 'responses.create' && !isFalse(bytes, scan.keys.get('store')))
    return statefulField('A response without "store": false stays in the provider\'s account.', 'store');
  for (const path of scan.listed) {
    if (!isAllowed(path, deployment))
      return statefulField(`${JSON.stringify(path)} is not known to be stateless with this value.`, path);
  }
  return scan.unlisted
    ? statefulField('The body has too many fields that are not known to be stateless.')
    : undefined;
}

/** Does the same for a form, by the names of its fields. */
export function statefulFormReason(
  endpoint: Endpoint,
  names: Iterable<string>,
  deployment: Pick<Deployment, 'target' | 'params'>,
): RouterError | undefined {
  const reason = statefulReason(endpoint);
  if (reason !== undefined) return reason;
  for (const name of names) {
    // Controls are not sent on, or refused for themselves.
    if (isListedField(endpoint.id, name) || isCallControl(baseName(name))) continue;
    const path = fieldPath(name);
    if (!isAllowed(path, deployment)) {
      const shown = path.slice(0, 64);
      return statefulField(`The form field ${JSON.stringify(shown)} is not known to be stateless.`, shown);
    }
  }
  return undefined;
}

function isAllowed(path: string, deployment: Pick<Deployment, 'target' | 'params'> | undefined): boolean {
  if (deployment === undefined) return false;
  const { target, params } = deployment;
  if (isProviderField(target.provider, path)) return true;
  return (
    params.allow_fields?.some(
      (field) => path === field || path.startsWith(`${field}.`) || path === `${field}[]`,
    ) ?? false
  );
}

function statefulField(message: string, param?: string): RouterError {
  const details =
    param === undefined
      ? {}
      : {
          param,
          hint: "If the provider keeps nothing because of this field, add its name to allow_fields of the shared model's litellm_params.",
        };
  return new RouterError('stateful_on_shared', `${message} ${statelessOnly}`, details);
}

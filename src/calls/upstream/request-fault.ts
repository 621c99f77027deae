import { requestCodes, requestTypes, schemaCode } from './answer-codes.ts';
import type { ErrorWords } from './error-words.ts';

/** What is called a parameter although it is not a part of the request's body, or is the deployment's own. */
const otherParams: ReadonlySet<string> = new Set([
  '',
  'apikey',
  'apiversion',
  'authorization',
  'deployment',
  'deploymentid',
  'engine',
  'key',
  'model',
  'modelid',
  'none',
  'null',
  'organization',
  'project',
  'queue',
  'quota',
  'user',
]);

/** Returns whether an error names the part of the request that is at fault, by its parameter or by its code. */
export function isAboutRequest({ codes, params }: ErrorWords): boolean {
  if (params.some((param) => !otherParams.has(param.toLowerCase().replace(/[^a-z0-9[\]]/g, '')))) return true;
  if (params.some((param) => /^(model|deployment|engine)/i.test(param))) return false;
  return [...codes].some((code) => requestCodes.has(code) || schemaCode.test(code));
}

/** Returns whether an error says in any way that a request is at fault. */
export function namesRequest(said: ErrorWords): boolean {
  return isAboutRequest(said) || [...said.codes].some((code) => requestTypes.has(code));
}

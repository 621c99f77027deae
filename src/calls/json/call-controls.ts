import { RouterError } from '../../errors.ts';
import { isFallbackName } from '../../schemas/names.ts';
import { maxTimeoutSeconds } from '../../schemas/seconds.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { isForbidden, isUsed, type UsedName } from './control-names.ts';
import { isLiteral, type MemberSpan } from './tokens.ts';

/** LiteLLM's call controls as a body carries them. */
export interface ControlFields {
  /** The names of those that are not null. */
  readonly given: readonly string[];
  /** Returns the value of a control that the router follows; `NaN` if it is malformed. */
  read(name: UsedName): unknown;
}

/** Bytes that the value of a control may have. */
const maxControlBytes = 16_384;
const secondsHint = `seconds, at most ${maxTimeoutSeconds}. A value in milliseconds has to be divided by 1000`;

/** What a body asks of the router itself. No provider gets it, unless the deployment's `allow_fields` has the name. */
export class CallControls {
  readonly fallbacks: readonly string[] | undefined;
  readonly numRetries: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly streamTimeoutMs: number | undefined;
  readonly tags: readonly string[] | undefined;
  /** Every control that the body has, null or not. */
  readonly names: readonly string[];
  /** What is wrong with the value of a control, for every deployment whose provider does not take the name itself. */
  readonly #problems: Map<string, string> = new Map();
  /** The controls that the router does not follow. */
  readonly #unsupported: readonly string[];

  /** @throws RouterError `invalid_request` for a name that no deployment may get */
  constructor(names: readonly string[], fields: ControlFields) {
    this.names = names;
    this.#unsupported = fields.given.filter((name) => !isUsed(name));
    if (fields.given.some(isForbidden)) throw mayNotBeSet(this.#unsupported);
    const isNames = (value: unknown): value is string[] =>
      isList(10, 256)(value) && value.every(isFallbackName);
    this.fallbacks = this.#checked('fallbacks', fields, isNames, 'at most 10 model names, no patterns');
    this.numRetries = this.#checked('num_retries', fields, isCount, 'a number of retries, 0 to 20');
    const seconds = (name: UsedName) => this.#checked(name, fields, isSeconds, secondsHint);
    this.timeoutMs = inMilliseconds(seconds('timeout'));
    this.streamTimeoutMs = inMilliseconds(seconds('stream_timeout'));
    this.tags = this.#checked('tags', fields, isList(32, 256), 'at most 32 strings of up to 256 characters');
  }

  /** Returns the names of the controls that the deployment's provider does not get. */
  withheld({ params }: Pick<Deployment, 'params'>): readonly string[] {
    return this.names.filter((name) => isForbidden(name) || !params.allow_fields?.includes(name));
  }

  /**
   * Returns one error for all controls that neither the router follows nor this deployment's provider takes.
   *
   * @param mayManage whether the caller can change the deployments of its team
   */
  refusal(
    deployment: Pick<Deployment, 'teamId' | 'params'>,
    mayManage: boolean | undefined = true,
  ): RouterError | undefined {
    const withheld = new Set(this.withheld(deployment));
    const invalid = [...this.#problems].filter(([name]) => withheld.has(name));
    const unsupported = this.#unsupported.filter((name) => withheld.has(name));
    const param = invalid[0]?.[0] ?? unsupported[0];
    if (param === undefined) return undefined;
    const problems = invalid.map(([, problem]) => problem);
    if (unsupported.length > 0)
      problems.push(unsupportedProblem(unsupported, mayManage && deployment.teamId !== null));
    return new RouterError('invalid_request', problems.join(' '), { param: param.slice(0, 64) });
  }

  #checked<Value>(
    name: UsedName,
    fields: ControlFields,
    is: (value: unknown) => value is Value,
    expected: string,
  ): Value | undefined {
    if (!fields.given.includes(name)) return undefined;
    const value = fields.read(name);
    if (is(value)) return value;
    this.#problems.set(name, `${name}: must be ${expected}.`);
    return undefined;
  }
}

/** The controls of a JSON body. */
export function jsonControls(
  bytes: Buffer,
  keys: ReadonlyMap<string, MemberSpan>,
  names: readonly string[],
): CallControls {
  const given = names.filter((name) => {
    const span = keys.get(name);
    return span !== undefined && !isLiteral(bytes, span[0], span[1], 'null');
  });
  const read = (name: UsedName) => {
    const [start = 0, end = 0] = keys.get(name) ?? [];
    return end - start > maxControlBytes ? Number.NaN : parsed(bytes.toString('utf8', start, end));
  };
  return new CallControls(names, { given, read });
}

/** The tags that `metadata` of a body carries, for the receipt; `undefined` if it has none. */
export function metadataTags(bytes: Buffer, span: MemberSpan | undefined): readonly string[] | undefined {
  if (span === undefined || span[1] - span[0] > maxControlBytes) return undefined;
  const text = bytes.subarray(span[0], span[1]);
  if (!text.includes('"tags"')) return undefined;
  const value = parsed(text.toString('utf8'));
  const tags = typeof value === 'object' && value !== null ? (value as { tags?: unknown }).tags : undefined;
  return isList(32, 256)(tags) ? tags : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return Number.NaN;
  }
}

const isList =
  (items: number, length: number) =>
  (value: unknown): value is string[] =>
    Array.isArray(value) &&
    value.length <= items &&
    value.every((item) => typeof item === 'string' && item.length <= length);

const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 20;

const isSeconds = (value: unknown): value is number =>
  typeof value === 'number' && value > 0 && value <= maxTimeoutSeconds;

function inMilliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}

/** A team cannot change `allow_fields` of a shared deployment, so it is not told to. */
function unsupportedProblem(names: readonly string[], mayChange: boolean): string {
  const [are, them] = names.length > 1 ? ['are', 'them'] : ['is', 'it'];
  const addition = mayChange
    ? `, or add ${them} to the deployment's allow_fields if its provider takes ${them}`
    : '';
  return `${listed(names)}: ${are} not supported in a call. Remove ${them}${addition}.`;
}

/** Returns the error of a call that says where it goes or with which key. */
export function mayNotBeSet(names: readonly string[]): RouterError {
  const param = (names.find(isForbidden) ?? '').slice(0, 64);
  return new RouterError('invalid_request', `${listed(names)} may not be set by a call.`, { param });
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 20).map((name) => name.slice(0, 64));
  return shown.join(', ') + (names.length > shown.length ? ' ...' : '');
}

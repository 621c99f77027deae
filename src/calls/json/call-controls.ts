import { RouterError } from '../../errors.ts';
import { isFallbackName } from '../../schemas/names.ts';
import { maxTimeoutSeconds } from '../../schemas/seconds.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { isLiteral, type MemberSpan } from './tokens.ts';

/**
 * LiteLLM's call controls in a call's body: what its documentation has callers send beside OpenAI's fields. None of them
 * reaches a provider, unless the deployment's `allow_fields` says that its provider takes the name itself.
 */
const used = ['fallbacks', 'num_retries', 'timeout', 'stream_timeout', 'tags'] as const;

/** Those that ask for something that does not exist here, or that is not a call's to decide. */
const refused = [
  'additional_drop_params',
  'allowed_fails',
  'allowed_openai_params',
  'azure_ad_token',
  'cache',
  'cache_control_injection_points',
  'caching',
  'client_id',
  'client_secret',
  'content_policy_fallbacks',
  'context_window_fallback_dict',
  'context_window_fallbacks',
  'cooldown_time',
  'custom_prompt_dict',
  'default_fallbacks',
  'deployment_id',
  'disable_fallbacks',
  'disable_global_guardrails',
  'drop_params',
  'enable_json_schema_validation',
  'ensure_alternating_roles',
  'extra_headers',
  'failure_callback',
  'force_timeout',
  'guardrail_config',
  'guardrails',
  'hf_model_name',
  'input_cost_per_second',
  'input_cost_per_token',
  'logger_fn',
  'max_fallbacks',
  'max_parallel_requests',
  'max_retries',
  'merge_reasoning_content_in_choices',
  'model_info',
  'model_list',
  'no-log',
  'organization',
  'output_cost_per_second',
  'output_cost_per_token',
  'preset_cache_key',
  'prompt_id',
  'prompt_label',
  'prompt_variables',
  'prompt_version',
  'proxy_server_request',
  'request_timeout',
  'retry_policy',
  'retry_strategy',
  'router_settings',
  'rpm',
  'success_callback',
  'tenant_id',
  'tpm',
  'turn_off_message_logging',
  'user_continue_message',
] as const;

/** Whole families of names: `mock_response`, `litellm_metadata` ... */
const refusedFamilies = /^(mock|litellm)_/;

export const callControlNames: readonly string[] = [...used, ...refused];

const known: ReadonlySet<string> = new Set(callControlNames);

export function isCallControl(name: string): boolean {
  return known.has(name) || refusedFamilies.test(name);
}

/** Bytes that the value of a control may have. */
const maxControlBytes = 16_384;
const secondsHint = `seconds, at most ${maxTimeoutSeconds}. A value in milliseconds has to be divided by 1000`;

/** What a body asks of the router itself. */
export class CallControls {
  readonly fallbacks: readonly string[] | undefined;
  readonly numRetries: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly streamTimeoutMs: number | undefined;
  readonly tags: readonly string[] | undefined;
  /** Every control that the body has, so that none is sent on. */
  readonly names: readonly string[];
  /** What is wrong with a control, for every deployment whose provider does not take it itself. */
  readonly #errors: Map<string, RouterError> = new Map();
  /** The controls that the router does not know how to follow. */
  readonly #unsupported = new Set<string>();

  constructor(bytes: Buffer, keys: ReadonlyMap<string, MemberSpan>, names: readonly string[]) {
    this.names = names;
    const read = (name: string) => this.#read(bytes, keys, name);
    const isNames = (value: unknown): value is string[] =>
      isList(10, 256)(value) && value.every(isFallbackName);
    this.fallbacks = this.#checked('fallbacks', read, isNames, 'at most 10 model names, no patterns');
    this.numRetries = this.#checked('num_retries', read, isCount, 'a number of retries, 0 to 20');
    const seconds = (name: string) => this.#checked(name, read, isSeconds, secondsHint);
    this.timeoutMs = inMilliseconds(seconds('timeout'));
    this.streamTimeoutMs = inMilliseconds(seconds('stream_timeout'));
    this.tags = this.#checked('tags', read, isList(32, 256), 'at most 32 strings of up to 256 characters');
    for (const name of names) {
      const span = keys.get(name);
      if ((used as readonly string[]).includes(name) || span === undefined) continue;
      if (isLiteral(bytes, span[0], span[1], 'null')) continue;
      this.#unsupported.add(name);
    }
  }

  /** Returns the error of the first control that this deployment's provider does not take itself. */
  refusal({ teamId, params }: Pick<Deployment, 'teamId' | 'params'>): RouterError | undefined {
    const isRefused = (name: string) => !(params.allow_fields?.includes(name) ?? false);
    for (const [name, error] of this.#errors) if (isRefused(name)) return error;
    const name = [...this.#unsupported].find(isRefused);
    return name === undefined ? undefined : unsupported(name, teamId === null);
  }

  #read(bytes: Buffer, keys: ReadonlyMap<string, MemberSpan>, name: string): unknown {
    const span = this.names.includes(name) ? keys.get(name) : undefined;
    if (span === undefined) return undefined;
    const [start, end] = span;
    return end - start > maxControlBytes ? Number.NaN : parsed(bytes.toString('utf8', start, end));
  }

  #checked<Value>(
    name: string,
    read: (name: string) => unknown,
    is: (value: unknown) => value is Value,
    expected: string,
  ): Value | undefined {
    const value = read(name);
    if (value === undefined || value === null) return undefined;
    if (is(value)) return value;
    this.#errors.set(name, invalid(name, `${name}: must be ${expected}.`));
    return undefined;
  }
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
function unsupported(name: string, isShared: boolean): RouterError {
  const removal = isShared ? '' : ", or add it to the deployment's allow_fields if its provider takes it";
  return invalid(name, `${name.slice(0, 64)}: is not supported in a call. Remove it${removal}.`);
}

function invalid(name: string, message: string): RouterError {
  return new RouterError('invalid_request', message, { param: name.slice(0, 64) });
}

import { z } from 'zod';
import { type CredentialNoun, credentialProblem, headerProblem, idProblem } from './credential.ts';
import {
  type ApiVersion,
  callTypes,
  isApiVersion,
  isFallbackLists,
  isIndirectValue,
  isJsonObject,
} from './fields.ts';
import { filled, isFallbackName, keyModels, plain, providerModel, publicName, teamModels } from './names.ts';
import { seconds, secondsOrNone } from './seconds.ts';

/**
 * Schemas of the documented bodies of the management API. In-process arguments have the same form, so they use the
 * documented snake_case. Unknown fields are rejected.
 */

const credential = (noun: CredentialNoun) => pasted(8192, (value) => credentialProblem(value, noun));

/** An id that is sent in a header or a form. */
const accountId = pasted(256, idProblem);

function pasted(max: number, problemOf: (value: string) => string | undefined) {
  return z
    .string()
    .max(max)
    .superRefine((value, context) => {
      const message = problemOf(value);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    });
}

const limit = z.int().positive().max(1_000_000_000);
const cost = z.number().nonnegative().max(1_000_000);

const jsonObject = z.custom<Record<string, unknown>>(
  (value) => isJsonObject(value),
  'must be a JSON object of at most 64 KiB',
);

/** A team id of the application: 1 to 256 characters without control characters. */
export const teamId = filled(256);

// Headers that the router sets itself. A tenant that could overwrite them could redirect the request or the key.
const forbiddenHeader =
  /^(host|authorization|api-key|x-api-key|cookie|set-cookie|content-length|content-type|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect|accept-encoding|proxy-.*|x-forwarded-.*|forwarded|via)$/i;

const headersShape = 'must be an object of at most 32 headers, without headers that the router sets';

const extraHeaders = z
  .custom<Record<string, string>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    headersShape,
  )
  .superRefine((value, context) => {
    const message = headersProblem(Object.entries(value));
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  });

function headersProblem(entries: [name: string, value: unknown][]): string | undefined {
  const names = new Set(entries.map(([name]) => name.toLowerCase()));
  if (names.size !== entries.length || entries.length > 32) return headersShape;
  for (const [at, [name, value]] of entries.entries()) {
    const allowed = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(name) && name !== '__proto__';
    if (!allowed || forbiddenHeader.test(name) || typeof value !== 'string' || value.length > 8192)
      return headersShape;
    const problem = headerProblem(name, value);
    // The message omits the name, because it may be a misplaced secret.
    if (problem !== undefined) return `header ${at + 1} of ${entries.length} ${problem}`;
  }
  return undefined;
}

const forbiddenInBody = new Set([
  'model',
  'api_key',
  'api_base',
  'base_url',
  'api_version',
  'custom_llm_provider',
  'litellm_params',
]);

const extraBody = jsonObject.refine(
  (value) => Object.keys(value).every((key) => !forbiddenInBody.has(key)),
  'must not set the model, the key or the destination',
);

/** Names of body fields such as `top_k`, or of nested fields such as `messages.reasoning_details`. */
const allowFields = z
  .array(
    filled(256)
      .regex(
        /^[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*$/,
        'must be a field name, or field names separated by dots',
      )
      .refine(
        (path) => !forbiddenInBody.has(path.split('.', 1)[0] ?? ''),
        'must not name the model, the key or the destination',
      ),
  )
  .max(64);

const apiVersion = z.custom<ApiVersion>(
  isApiVersion,
  `must be an api-version such as 2024-10-21, or an object of api-versions by call type: ${['default', ...callTypes].join(', ')}`,
);

const params = {
  model: providerModel,
  api_key: credential('key').optional(),
  api_base: filled(2048).optional(),
  api_version: apiVersion.optional(),
  custom_llm_provider: filled(64).optional(),
  organization: accountId.optional(),
  project: accountId.optional(),
  azure_ad_token: credential('token').optional(),
  tenant_id: accountId.regex(/^[\w-]+(\.[\w-]+)*$/, 'must be the id or the domain of a tenant').optional(),
  client_id: accountId.optional(),
  client_secret: credential('secret').optional(),
  timeout: seconds().optional(),
  stream_timeout: seconds().optional(),
  num_retries: z.int().nonnegative().max(10).optional(),
  weight: z.number().nonnegative().max(1_000_000).optional(),
  order: z.int().min(-1_000_000).max(1_000_000).optional(),
  rpm: limit.optional(),
  tpm: limit.optional(),
  max_parallel_requests: limit.optional(),
  extra_headers: extraHeaders.optional(),
  extra_body: extraBody.optional(),
  allow_fields: allowFields.optional(),
  input_cost_per_token: cost.optional(),
  output_cost_per_token: cost.optional(),
};

/** An id in an operator's import. Other callers cannot choose an id. */
const importedId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/, 'must be 1 to 128 letters, digits, . _ : or -')
  .refine((value) => !isIndirectValue(value), 'must be the value itself, not a reference to one');

const info = {
  base_model: filled(512).optional(),
  mode: z
    .enum([
      'chat',
      'completion',
      'embedding',
      'responses',
      'image_generation',
      'audio_speech',
      'audio_transcription',
      'moderation',
    ])
    .optional(),
  description: plain(4096).optional(),
  metadata: jsonObject.optional(),
};

const clearable = <Shape extends Record<string, z.ZodType>>(shape: Shape) =>
  Object.fromEntries(Object.entries(shape).map(([key, schema]) => [key, schema.nullable().optional()])) as {
    [Key in keyof Shape]: z.ZodOptional<z.ZodNullable<Shape[Key]>>;
  };

/** Body of `POST /model/new`. */
export const modelBody = z.strictObject({
  model_name: publicName,
  litellm_params: z.strictObject(params),
  model_info: z.strictObject({ id: importedId.optional(), team_id: teamId.optional(), ...info }).optional(),
});

/** Body of `PATCH /model/{id}/update`. Changes only the fields that it contains; `null` clears a field. */
export const modelPatch = z.strictObject({
  model_name: publicName.optional(),
  litellm_params: z.strictObject({ ...clearable(params), model: params.model.optional() }).optional(),
  model_info: z
    .strictObject({ id: z.string().optional(), team_id: teamId.optional(), ...clearable(info) })
    .optional(),
});

/** A stored model, by id alone. Any other field could send its secret to a different destination. */
export const storedModel = z.strictObject({ id: z.string() });

const fallbackLists = z
  .custom<Record<string, string[]>[]>(
    isFallbackLists,
    'must be a list of { name: [names] }, each with 1 to 10 fallback names',
  )
  .refine(
    (lists) => lists.every((list) => Object.entries(list).flat(2).every(isFallbackName)),
    'must contain public names of models, not "*" or words for all models. Add an entry for each name.',
  );

const settings = {
  fallbacks: fallbackLists.optional(),
  num_retries: z.int().nonnegative().max(10).optional(),
  timeout: seconds().optional(),
  allowed_fails: z.int().nonnegative().max(1_000).optional(),
  cooldown_time: secondsOrNone(3_600).optional(),
};

const team = {
  team_alias: plain(256).optional(),
  models: teamModels.optional(),
  metadata: jsonObject.optional(),
  blocked: z.boolean().optional(),
};

/** Body of `POST /team/new`. Without `team_id` the router generates one. */
export const teamBody = z.strictObject({
  team_id: teamId.optional(),
  ...team,
  settings: z.strictObject(settings).optional(),
});

/** Body of `POST /team/update`. Changes only the fields that it contains; `null` clears a field. */
export const teamPatch = z.strictObject({
  team_id: teamId.optional(),
  ...clearable(team),
  settings: z.strictObject(clearable(settings)).nullable().optional(),
});

/** Names to add to and to remove from a team's allow-list of shared models. */
export const allowListChange = z.strictObject({ add: teamModels.optional(), remove: teamModels.optional() });

/** Permissions of a team's API key. `default` has all permissions of a team. */
export const keyType = z.enum(['default', 'llm_api', 'management', 'read_only']);

/**
 * Lifetime of a key: an integer number of seconds, minutes, hours, days, weeks or months (30 days), such as `30d`.
 */
const duration = z
  .string()
  .regex(
    /^[1-9][0-9]{0,6}(s|m|h|d|w|mo)$/,
    'must be a whole number followed by s, m, h, d, w or mo, such as 30d',
  );

const key = {
  key_alias: plain(256).optional(),
  key_type: keyType.optional(),
  /** Public names that the key may call: absent for all, `[]` for none. */
  models: keyModels.optional(),
  duration: duration.optional(),
  metadata: jsonObject.optional(),
  blocked: z.boolean().optional(),
};

/** Body of `POST /key/generate`. */
export const keyBody = z.strictObject({ team_id: teamId.optional(), ...key });

/** Body of `POST /key/update` without the key. Changes only the fields that it contains; `null` clears a field. */
export const keyPatch = z.strictObject({ ...clearable(key), key_type: key.key_type });

export type SettingsPatch = NonNullable<z.input<typeof teamPatch>['settings']>;
export type ModelParams = z.output<typeof modelBody>['litellm_params'];
export type ModelInfo = z.output<typeof modelBody>['model_info'];

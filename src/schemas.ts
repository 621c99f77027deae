import { z } from 'zod';
import {
  type ApiVersion,
  callTypes,
  internalPrefix,
  isApiVersion,
  isFallbackLists,
  isIndirectValue,
  isJsonObject,
  isMasked,
  isText,
} from './values.ts';

/**
 * Every documented body of the management calls. In-process arguments ARE these bodies, so they keep the
 * documented snake_case; unknown fields are refused.
 */

const plain = (max: number) =>
  z
    .string()
    .max(max)
    .refine(isText, 'must be text without control characters')
    .refine((value) => !isIndirectValue(value), 'must be the value itself, not a reference to one');

const filled = (max: number) => plain(max).refine((value) => value.trim() !== '', 'must not be empty');

const secret = filled(8192).refine((value) => !isMasked(value), 'is a masked secret; send the secret itself');

const seconds = z.number().positive().max(86_400);
const limit = z.int().positive().max(1_000_000_000);
const cost = z.number().nonnegative().max(1_000_000);

const jsonObject = z.custom<Record<string, unknown>>(
  (value) => isJsonObject(value),
  'must be a JSON object of at most 64 KiB',
);

/** A team's id, as the application has it: 1 to 256 characters, no control characters. */
export const teamId = filled(256);

/** The name a team calls its model by: 1 to 256 characters; `model_name_` is reserved for internal names. */
export const publicName = filled(256).refine(
  (value) => !value.startsWith(internalPrefix),
  `must not begin with ${internalPrefix}`,
);

// A header of ours that a tenant could overwrite would carry the request, or the key, elsewhere.
const forbiddenHeader =
  /^(host|authorization|api-key|x-api-key|cookie|set-cookie|content-length|content-type|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect|accept-encoding|proxy-.*|x-forwarded-.*|forwarded|via)$/i;

const extraHeaders = z.custom<Record<string, string>>((value) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  if (new Set(entries.map(([name]) => name.toLowerCase())).size !== entries.length) return false;
  return (
    entries.length <= 32 &&
    entries.every(
      ([name, text]) =>
        /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(name) &&
        name !== '__proto__' &&
        !forbiddenHeader.test(name) &&
        typeof text === 'string' &&
        /^[\t\x20-\x7e]{1,8192}$/.test(text) &&
        !isIndirectValue(text) &&
        !isMasked(text),
    )
  );
}, 'must be an object of at most 32 header names and values, none of them one that the router sets itself');

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

/** Names of a body's fields, such as `top_k`, or of a field below one, such as `messages.reasoning_details`. */
const allowFields = z
  .array(
    filled(256)
      .regex(
        /^[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*$/,
        'must be the name of a field, or names with dots between',
      )
      .refine(
        (path) => !forbiddenInBody.has(path.split('.', 1)[0] ?? ''),
        'must not name the model, the key or the destination',
      ),
  )
  .max(64);

const apiVersion = z.custom<ApiVersion>(
  isApiVersion,
  `must be an api-version, such as 2024-10-21, or an object of them by call type: ${['default', ...callTypes].join(', ')}`,
);

const params = {
  model: filled(512),
  api_key: secret.optional(),
  api_base: filled(2048).optional(),
  api_version: apiVersion.optional(),
  custom_llm_provider: filled(64).optional(),
  organization: filled(256).optional(),
  project: filled(256).optional(),
  azure_ad_token: secret.optional(),
  tenant_id: filled(256)
    .regex(/^[\w-]+(\.[\w-]+)*$/, 'must be the id or the domain of a tenant')
    .optional(),
  client_id: filled(256).optional(),
  client_secret: secret.optional(),
  timeout: seconds.optional(),
  stream_timeout: seconds.optional(),
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

/** An operator's import may bring ids along; nobody else may choose one. */
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

/** `POST /model/new`. */
export const modelBody = z.strictObject({
  model_name: publicName,
  litellm_params: z.strictObject(params),
  model_info: z.strictObject({ id: importedId.optional(), team_id: teamId.optional(), ...info }).optional(),
});

/** `PATCH /model/{id}/update`: only what is sent changes; `null` clears. */
export const modelPatch = z.strictObject({
  model_name: publicName.optional(),
  litellm_params: z.strictObject({ ...clearable(params), model: params.model.optional() }).optional(),
  model_info: z
    .strictObject({ id: z.string().optional(), team_id: teamId.optional(), ...clearable(info) })
    .optional(),
});

/** A stored model, by its id and nothing else: what else it is tested with would be another destination for its secret. */
export const storedModel = z.strictObject({ id: z.string() });

const allowList = z.array(filled(256)).max(1000);

const fallbackLists = z.custom<Record<string, string[]>[]>(
  isFallbackLists,
  'must be a list of { name: [names] }, each with 1 to 10 names to go on to',
);

const settings = {
  fallbacks: fallbackLists.optional(),
  num_retries: z.int().nonnegative().max(10).optional(),
  timeout: seconds.optional(),
  allowed_fails: z.int().nonnegative().max(1_000).optional(),
  cooldown_time: z.number().nonnegative().max(3_600).optional(),
};

const team = {
  team_alias: plain(256).optional(),
  models: allowList.optional(),
  metadata: jsonObject.optional(),
  blocked: z.boolean().optional(),
};

/** `POST /team/new`. Without `team_id` one is minted. */
export const teamBody = z.strictObject({
  team_id: teamId.optional(),
  ...team,
  settings: z.strictObject(settings).optional(),
});

/** `POST /team/update`, without its `team_id`: only what is sent changes; `null` clears. */
export const teamPatch = z.strictObject({
  team_id: teamId.optional(),
  ...clearable(team),
  settings: z.strictObject(clearable(settings)).nullable().optional(),
});

/** What goes onto a team's allow-list of shared names, and what goes off it. */
export const allowListChange = z.strictObject({ add: allowList.optional(), remove: allowList.optional() });

/** What a team's API key may do; `default` is everything a team may. */
export const keyType = z.enum(['default', 'llm_api', 'management', 'read_only']);

/** How long a key lives: a whole number of seconds, minutes, hours, days, weeks or months (30 days), such as `30d`. */
const duration = z
  .string()
  .regex(/^[1-9][0-9]{0,6}(s|m|h|d|w|mo)$/, 'must be a whole number and s, m, h, d, w or mo, such as 30d');

const key = {
  key_alias: plain(256).optional(),
  key_type: keyType.optional(),
  /** The public names that the key may call: absent for all, `[]` for none. */
  models: allowList.optional(),
  duration: duration.optional(),
  metadata: jsonObject.optional(),
};

/** `POST /key/generate`. */
export const keyBody = z.strictObject({ team_id: teamId.optional(), ...key });

/** `POST /key/update`, without the key itself: only what is sent changes; `null` clears. */
export const keyPatch = z.strictObject({ ...clearable(key), key_type: key.key_type });

export type KeyType = z.output<typeof keyType>;
export type KeyBody = z.input<typeof keyBody>;
export type KeyPatch = z.input<typeof keyPatch>;
export type ModelBody = z.input<typeof modelBody>;
export type ModelPatch = z.input<typeof modelPatch>;
export type TeamBody = z.input<typeof teamBody>;
export type TeamPatch = z.input<typeof teamPatch>;
export type SettingsPatch = NonNullable<TeamPatch['settings']>;
export type ModelParams = z.output<typeof modelBody>['litellm_params'];
export type ModelInfo = z.output<typeof modelBody>['model_info'];

import { type FieldRules, type Shape, shapeOf } from '../json/shape.ts';
import { itemTypes } from '../json/substance.ts';
import { judgedTexts } from './provider-fields.ts';

/**
 * Fields that a call may send to a shared deployment: fields of OpenAI's specification 2.3.0 that neither keep
 * something in the provider's account, nor read its content, nor choose another model. Excluded are for
 * instance files and containers by id, stored prompts, conversations, skills, tunnels, connectors and custom
 * voices.
 */
const free = 'free';
const leaf = 'leaf';
const off = 'off';
const url = 'url';
const media = 'media';

/** Names at the same level, each with a scalar or a list of scalars. */
const leaves = (names: string): FieldRules =>
  Object.fromEntries(names.split(' ').map((name) => [name, leaf]));

const strings = (values: string): readonly string[] => values.split(' ');

const cacheBreakpoint = { prompt_cache_breakpoint: leaves('mode') };
const cacheOptions = {
  ...leaves('prompt_cache_key prompt_cache_retention'),
  prompt_cache_options: leaves('mode ttl'),
};
const location = leaves('type city country region timezone');
const grammar = { ...leaves('type definition syntax'), grammar: leaves('definition syntax') };
const logprobs = { ...leaves('token logprob bytes'), top_logprobs: leaves('token logprob bytes') };

const citations = {
  ...leaves('type title url start_index end_index index filename'),
  url_citation: leaves('title url start_index end_index'),
};

/** A message of chat. The last row is what answers carry, since clients send them back as they came. */
const chatMessage: FieldRules = {
  ...leaves('role name tool_call_id refusal'),
  content: {
    type: ['text', 'image_url', 'input_audio', 'file', 'refusal', 'video_url', 'audio_url'],
    ...leaves('text refusal'),
    image_url: { url, detail: leaf },
    video_url: { url },
    audio_url: { url },
    input_audio: { data: media, format: leaf },
    file: { file_data: url, filename: leaf },
    ...cacheBreakpoint,
  },
  function_call: leaves('name arguments'),
  tool_calls: {
    ...leaves('id index'),
    type: ['function', 'custom'],
    function: leaves('name arguments'),
    custom: leaves('name input'),
  },
  annotations: citations,
  ...leaves('reasoning reasoning_content'),
};

const chatFunction = { ...leaves('name description strict'), parameters: free } as const;
const named = { function: leaves('name'), custom: leaves('name') };

const sampling = leaves(
  'model stream temperature top_p n stop seed user presence_penalty frequency_penalty max_tokens',
);
const streamOptions = { stream_options: leaves('include_usage include_obfuscation') };

const completions: FieldRules = {
  ...sampling,
  ...leaves('prompt suffix echo best_of logprobs'),
  ...streamOptions,
  logit_bias: free,
};

const plainTool = {
  ...leaves('name description strict defer_loading'),
  parameters: free,
  format: grammar,
} as const;
const toolNames = leaves('tool_names read_only');

/** A tool of Responses. */
const tool: FieldRules = {
  ...plainTool,
  type: strings(
    'function custom namespace tool_search web_search web_search_2025_08_26 web_search_preview web_search_preview_2025_03_11 image_generation mcp computer computer_use_preview local_shell apply_patch',
  ),
  output_schema: free,
  tools: { type: ['function', 'custom'], ...plainTool, output_schema: free },
  execution: leaf,
  // Searching the web.
  ...leaves('search_context_size search_content_types external_web_access'),
  filters: leaves('allowed_domains'),
  user_location: location,
  // Making an image.
  ...leaves('action background input_fidelity moderation output_compression output_format partial_images'),
  ...leaves('quality size'),
  input_image_mask: { image_url: url },
  // A server that the caller names and authorizes.
  ...leaves('server_label server_description authorization'),
  server_url: url,
  headers: free,
  allowed_tools: toolNames,
  require_approval: { always: toolNames, never: toolNames },
  // Using a computer of the caller's.
  ...leaves('environment display_width display_height'),
};

const safetyChecks = leaves('id code message');
const point = leaves('x y');
/** Without a URL of content they would name a file in the provider's account, or in a cloud that it may read. */
const contentUrls: FieldRules = { image_url: url, file_data: url, file_url: url };
const content: FieldRules = {
  type: ['input_text', 'input_image', 'input_file', 'output_text', 'refusal', 'reasoning_text', 'text'],
  ...leaves('text refusal detail filename'),
  ...contentUrls,
  annotations: citations,
  logprobs,
  ...cacheBreakpoint,
};

/**
 * Input items of a response. Rejects items by id alone, and reasoning whose content is stored at the provider.
 */
const input: FieldRules = {
  type: itemTypes,
  ...leaves('id role status phase call_id name namespace encrypted_content execution'),
  content,
  summary: leaves('type text'),
  arguments: free,
  input: leaf,
  action: {
    ...leaves('type button x y scroll_x scroll_y keys text query queries url pattern'),
    ...leaves('command commands working_directory user timeout_ms max_output_length'),
    path: point,
    env: free,
    sources: leaves('type url'),
  },
  actions: { ...leaves('type button x y scroll_x scroll_y keys text'), path: point },
  pending_safety_checks: safetyChecks,
  acknowledged_safety_checks: safetyChecks,
  operation: leaves('type path diff'),
  output: {
    type: ['input_text', 'input_image', 'input_file', 'output_text', 'computer_screenshot'],
    ...leaves('text detail filename stdout stderr'),
    ...contentUrls,
    outcome: leaves('type exit_code'),
    ...cacheBreakpoint,
  },
  max_output_length: leaf,
  result: media,
  ...leaves('revised_prompt background output_format quality size'),
  server_label: leaf,
  error: leaves('type code message content'),
  tools: { ...leaves('name description'), input_schema: free, annotations: free },
};

const chat: FieldRules = {
  ...sampling,
  ...leaves('max_completion_tokens logprobs top_logprobs modalities parallel_tool_calls reasoning_effort'),
  ...leaves('safety_identifier service_tier verbosity'),
  ...streamOptions,
  ...cacheOptions,
  store: off,
  metadata: free,
  logit_bias: free,
  messages: chatMessage,
  // Servers of both APIs may confuse one with the other, so each is checked in the same way in every place.
  input,
  audio: leaves('format voice'),
  function_call: leaves('name'),
  functions: chatFunction,
  prediction: { type: ['content'], content: { ...leaves('type text'), ...cacheBreakpoint } },
  response_format: {
    type: ['text', 'json_object', 'json_schema'],
    json_schema: { ...leaves('name description strict'), schema: free },
  },
  tools: {
    type: ['function', 'custom'],
    function: chatFunction,
    custom: { ...leaves('name description'), format: grammar },
  },
  tool_choice: {
    type: ['function', 'custom', 'allowed_tools'],
    ...named,
    allowed_tools: { mode: leaf, tools: { ...leaves('type name'), ...named } },
  },
  web_search_options: {
    search_context_size: leaf,
    user_location: { type: leaf, approximate: location },
  },
  // Of its content nothing is known to be stateless; providers add what they take of it.
  extra_body: { google: {} },
};

const responses: FieldRules = {
  ...leaves('model stream temperature top_p top_logprobs user safety_identifier service_tier instructions'),
  ...leaves('include max_output_tokens max_tool_calls parallel_tool_calls truncation'),
  ...cacheOptions,
  stream_options: leaves('include_obfuscation'),
  store: off,
  background: off,
  previous_response_id: off,
  conversation: off,
  prompt: off,
  metadata: free,
  context_management: leaves('type compact_threshold'),
  input,
  messages: chatMessage,
  reasoning: leaves('context effort generate_summary mode summary'),
  text: {
    verbosity: leaf,
    format: {
      type: ['text', 'json_object', 'json_schema'],
      ...leaves('name description strict'),
      schema: free,
    },
  },
  tools: tool,
  tool_choice: {
    ...leaves('type mode name server_label'),
    tools: leaves('type name server_label'),
  },
};

const counted: FieldRules = {
  model: leaf,
  input,
  tools: tool,
  ...leaves('instructions parallel_tool_calls personality truncation'),
  reasoning: responses.reasoning ?? leaf,
  text: responses.text ?? leaf,
  tool_choice: responses.tool_choice ?? leaf,
  previous_response_id: off,
  conversation: off,
};

const images = leaves(
  'model prompt n size quality background moderation output_format output_compression partial_images response_format style stream user',
);

/** By the endpoints' ids: every call that a shared deployment may serve. */
export const sharedFields: Readonly<Record<string, FieldRules>> = {
  'chat.completions.create': chat,
  'completions.create': completions,
  'embeddings.create': leaves('model input dimensions encoding_format user'),
  'responses.create': responses,
  'responses.compact': {
    model: leaf,
    input,
    ...leaves('instructions service_tier'),
    ...cacheOptions,
    previous_response_id: off,
  },
  'responses.inputTokens.count': counted,
  'moderations.create': {
    model: leaf,
    input: { type: ['text', 'image_url'], text: leaf, image_url: { url } },
  },
  'images.generate': images,
  'images.edit': { ...images, image: media, mask: media, input_fidelity: leaf },
  'images.createVariation': { ...leaves('model n response_format size user'), image: media },
  'audio.speech.create': leaves('model input voice instructions response_format speed stream_format'),
  'audio.transcriptions.create': {
    file: media,
    ...leaves('model language languages prompt keywords response_format temperature stream'),
    ...leaves('include timestamp_granularities known_speaker_names'),
    known_speaker_references: media,
    chunking_strategy: leaves('type threshold prefix_padding_ms silence_duration_ms'),
  },
  'audio.translations.create': { file: media, ...leaves('model prompt response_format temperature') },
};

/** Any call may say that it keeps nothing. */
const nothingKept: FieldRules = { store: off, previous_response_id: off, conversation: off };

const shapes = new Map(
  Object.entries(sharedFields).map(([id, rules]) => [id, shapeOf({ ...nothingKept, ...rules }, judgedTexts)]),
);

/** The fields that are known to be stateless; `undefined` for calls that a shared deployment never serves. */
export function sharedShape(endpointId: string): Shape | undefined {
  return shapes.get(endpointId);
}

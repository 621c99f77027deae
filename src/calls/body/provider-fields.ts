import type { TextRule } from '../json/content-url.ts';

/**
 * Documented provider fields beyond OpenAI's that keep nothing in the provider's account, read nothing there,
 * and choose no other model. Values below such a field are unrestricted, except for strings of `judgedTexts`.
 * Operators add others with `allow_fields`.
 */
const sampling =
  'top_k min_p repetition_penalty min_tokens ignore_eos stop_token_ids skip_special_tokens include_stop_str_in_output';
const guided =
  'guided_json guided_regex guided_choice guided_grammar guided_decoding_backend guided_whitespace_pattern structured_outputs';
const template = 'chat_template_kwargs add_generation_prompt continue_final_message documents';
const vllm = `${sampling} ${guided} ${template} best_of use_beam_search length_penalty bad_words allowed_token_ids prompt_logprobs truncate_prompt_tokens spaces_between_special_tokens add_special_tokens return_tokens_as_token_ids return_token_ids include_reasoning mm_processor_kwargs priority echo chat_template`;
const breakpoints =
  'cache_control messages.cache_control messages.content.cache_control tools.cache_control tools.function.cache_control';

export const providerFields: Readonly<Record<string, string>> = {
  anthropic: `thinking top_k ${breakpoints}`,
  cerebras: 'min_tokens disable_reasoning reasoning_format clear_thinking',
  deepseek: 'thinking messages.prefix',
  fireworks_ai: `${sampling} typical_p top_a mirostat_target mirostat_lr context_length_exceeded_behavior prompt_truncate_len perf_metrics_in_response reasoning_history thinking echo raw_output return_token_ids prompt_cache_isolation_key`,
  gemini:
    'thinking extra_body.google.thinking_config extra_body.google.thought_tag_marker extra_body.google.safety_settings messages.extra_content messages.tool_calls.extra_content',
  groq: 'reasoning_format include_reasoning citation_options disable_tool_validation documents search_settings',
  hosted_vllm: `${vllm} input_type truncation`,
  lm_studio: 'top_k min_p repeat_penalty ttl',
  mistral: 'safe_prompt random_seed prompt_mode messages.prefix output_dimension output_dtype',
  nvidia_nim: `${vllm} nvext input_type truncate modality`,
  ollama: 'options format keep_alive think reasoning',
  openrouter: `provider reasoning include_reasoning usage transforms ${sampling} top_a messages.reasoning_details ${breakpoints}`,
  perplexity:
    'search_mode search_domain_filter search_language_filter search_recency_filter search_after_date_filter search_before_date_filter last_updated_after_filter last_updated_before_filter return_images return_related_questions image_domain_filter image_format_filter disable_search enable_search_classifier language_preference media_response top_k',
  together_ai: `${sampling} context_length_exceeded_behavior reasoning chat_template_kwargs echo`,
  xai: 'search_parameters',
};

/**
 * Fields whose strings a provider may resolve as an address or a path: vLLM passes `mm_processor_kwargs` to
 * loaders of images and videos, and xAI fetches the feeds of `search_parameters`.
 */
export const judgedTexts: Readonly<Record<string, TextRule>> = {
  documents: 'text',
  mm_processor_kwargs: 'none',
  search_parameters: 'text',
};

const byProvider = new Map(
  Object.entries(providerFields).map(([name, paths]) => [name, new Set(paths.split(' '))]),
);

/** Whether the provider is known to serve the field without keeping anything. */
export function isProviderField(provider: string, path: string): boolean {
  return byProvider.get(provider)?.has(path) ?? false;
}

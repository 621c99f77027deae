/**
 * Names by which LiteLLM's callers address LiteLLM itself, from its documentation, `all_litellm_params` and the fields
 * that its proxy bans from bodies (1.108.7). A call's body may not carry them to a provider, because some of them carry
 * secrets of other services.
 */
const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Where a call goes and with which key: refused for every deployment. */
export const forbiddenNames: readonly string[] = words(
  'api_key api_base base_url api_version custom_llm_provider litellm_params',
);

/** The controls that the router follows. */
export const usedNames = ['fallbacks', 'num_retries', 'timeout', 'stream_timeout', 'tags'] as const;
export type UsedName = (typeof usedNames)[number];

/** Whose value is a list. */
export const listNames: ReadonlySet<string> = new Set(['fallbacks', 'tags']);

/** The controls that ask for something that does not exist here, or that a call may not decide. */
const refusedNames = words(`
  _agentic_loop_api_surface _agentic_loop_depth _agentic_loop_fingerprints _agentic_loop_tool_choice
  _context_compaction_state _router_weights acompletion additional_drop_params aembedding agentcore_runtime_session_id
  aimg_generation allm_passthrough_route allow_client_keepalive_override allowed_fails allowed_model_region
  allowed_openai_params annotation_cost_per_page annotation_cost_per_page_batches anthropic-workspace-id
  anthropic_disable_workload_identity_federation anthropic_organization_id anthropic_service_account_id
  anthropic_workspace_id assistant_continue_message async_call atext_completion attempted_targets azure base_model
  bucket_name budget_duration cache cache_control_injection_points cache_key caching caching_groups callback_settings
  callbacks citation_cost_per_token client client_id client_secret client_side_timeout complete_response
  completion_call_id configurable_clientside_auth_params content_policy_fallbacks context_window_fallback_dict
  context_window_fallbacks cooldown_time cost_per_query cost_per_second custom_prompt_dict data_residency
  default_fallbacks default_litellm_params deployment_id deployment_url disable_add_transform_inline_image_block
  disable_fallbacks disable_global_guardrails drop_params enable_json_schema_validation enable_prompt_caching
  enable_tag_filtering enforced_params ensure_alternating_roles extra_headers failure_callback fallback_depth
  fastest_response final_prompt_value fireworks_forward_user_id force_timeout google_maps_grounding_cost_per_query
  guardrail_config guardrails headers hf_model_name include_fallback_errors include_guardrail_response itpm
  keepalive_seconds log_client_error_tracebacks logger_fn max_agentic_loops max_budget max_fallbacks max_file_size_mb
  max_parallel_requests max_retries merge_reasoning_content_in_choices model_alias_map model_config
  model_file_id_mapping model_group_alias model_group_retry_policy model_info model_list no-log nvcf_function_id
  openai_identity_provider_id openai_identity_token_file openai_service_account_id order organization otpm
  output_vector_size passthrough_on_no_deployment policies preset_cache_key prompt_environment prompt_id prompt_label
  prompt_variables prompt_version provider_affinity_header provider_specific_header proxy_server_request region_name
  regional_endpoint_uplift_multiplier regional_processing_uplift_multiplier_eu regional_processing_uplift_multiplier_us
  request_timeout retry_policy retry_strategy router_settings routing_groups routing_strategy routing_strategy_args rpm
  rust search_context_cost_per_query search_tool_name secret_fields self shared_session silent_model
  specific_deployment spend_logs_metadata ssl_verify standard_callback_dynamic_params standard_logging_object
  stream_chunk_size stream_response stream_timeout_by_service_tier success_callback supports_system_message tag_regex
  target_model_names tenant_id text_completion tiered_pricing timeout_by_service_tier tpm turn_off_message_logging
  use_chat_completions_api use_client use_in_pass_through use_litellm_proxy use_ssl use_xai_oauth user_config
  user_continue_message user_provider_credentials verbose weight workspace_id
`);

/** Services and features of LiteLLM's: every name that begins with one of these words and `_` is refused. */
export const families = words(`
  _code_interpreter_interception _headroom_interception _litellm _websearch_interception adaptive_router
  anthropic_federation anthropic_identity anthropic_issuer anthropic_keycloak arize athina auto_router aws azure bedrock
  braintrust cache_creation_input cache_read_input complexity_router datadog dd deepeval default_api_key galileo gcs
  github_copilot helicone humanloop input_cost_per lago langfuse langsmith langtrace litellm logfire lunary milvus mlflow
  mock newrelic oci ocr_cost_per openmeter opik output_cost_per phoenix posthog promptlayer quality_router s3 sagemaker
  signoz slack supabase token_exchange traceloop user_api_key valkey vertex wandb watsonx weave
`);

const family = new RegExp(`^(?:${families.join('|')})_`);

/** What a name ends with if its value is a secret, of a service that is not known here. */
const secret = /_(?:api_key|secret|secret_key|access_key|access_key_id|password|credentials)$/;

/** Names that LiteLLM reads too, and that other servers or OpenAI accept as fields. They are passed through. */
export const passedNames: readonly string[] = words('bos_token eos_token id metadata roles ttl');

/** Every control that is known by its whole name. */
export const controlNames: readonly string[] = [...usedNames, ...forbiddenNames, ...refusedNames];

const used: ReadonlySet<string> = new Set(usedNames);
const known: ReadonlySet<string> = new Set(controlNames);
const forbidden: ReadonlySet<string> = new Set(forbiddenNames);

/** Returns whether a top-level field of a body is a call control of LiteLLM's, so that no provider may get it. */
export function isCallControl(name: string): boolean {
  return known.has(name) || family.test(name) || secret.test(name);
}

export function isUsed(name: string): name is UsedName {
  return used.has(name);
}

/** Returns whether no deployment's `allow_fields` lets the field through. */
export function isForbidden(name: string): boolean {
  return forbidden.has(name);
}

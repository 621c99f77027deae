import type { ObjectKind } from '../messages/answered-fields.ts';

/** Page that lists the differences from LiteLLM. */
export const movingOver = '"Moving over from LiteLLM" (docs/gateway/moving-over.md)';

/** LiteLLM's fields without a meaning here, by topic. Fields that a schema here has are not searched. */
const fieldsByTopic: Readonly<Record<string, string>> = {
  'users and members': `user_id user_email user_role user_alias admins members members_with_roles team_member_permissions
    team_member_key_duration default_team_member_models send_invite_email auto_create_key created_by_user_id
    include_created_by_keys user_models_only sso_user_id`,
  'organizations and projects': 'organization_id organization_alias project_id agent_id include_org_keys',
  'budgets and spend': `spend max_budget soft_budget soft_budget_alerting_emails budget_duration budget_id budget_limits
    budget_fallbacks model_max_budget temp_budget_increase temp_budget_expiry team_member_budget
    team_member_budget_duration max_budget_in_team reset_spend`,
  'limits of keys and teams': `tpm_limit rpm_limit tpd_limit max_parallel_requests model_rpm_limit model_tpm_limit
    rpm_limit_type tpm_limit_type team_model_rpm_limit team_model_tpm_limit team_member_rpm_limit team_member_tpm_limit tpm rpm`,
  'second names of models': 'aliases model_aliases config team_public_model_name model_group_alias',
  'the routes of a key, which key_type sets': 'allowed_routes',
  'guardrails, policies, tags and permissions': `guardrails disable_global_guardrails policies prompts tags permissions
    object_permission object_permission_id access_group_ids access_groups access_group_id allowed_passthrough_routes
    allowed_vector_store_indexes allowed_cache_controls enforced_params logging callback_settings`,
  'keys that are brought along, and the master key': 'key new_key new_master_key',
  'rotation by a schedule': 'auto_rotate rotation_interval key_rotation_at last_rotation_at',
  'settings of the router in a body, which settings replaces': 'router_settings model_list',
  'named credentials': 'litellm_credential_name credential_name',
  'protocols of other providers': `aws_access_key_id aws_secret_access_key aws_session_token aws_region_name aws_role_name
    aws_session_name aws_profile_name aws_bedrock_runtime_endpoint vertex_project vertex_location vertex_credentials
    region_name watsonx_region_name s3_bucket_name azure_scope azure_username azure_password`,
  'what LiteLLM does to a request': `drop_params additional_drop_params allowed_openai_params modify_params mock_response
    mock_timeout max_retries cooldown_time use_in_pass_through use_litellm_proxy use_chat_completions_api
    merge_reasoning_content_in_choices cache_control_injection_points configurable_clientside_auth_params
    litellm_trace_id max_file_size_mb base_url additional additional_litellm_params`,
  'what a model can do': `tier max_tokens max_input_tokens max_output_tokens litellm_provider supported_openai_params
    supports_vision supports_function_calling supports_parallel_function_calling supports_system_messages
    supports_response_schema supports_web_search supports_reasoning supports_prompt_caching health_check_model
    health_check_timeout`,
  'pauses of models': 'blocked',
  'what only the gateway writes': 'db_model created_at created_by updated_at updated_by',
  'filters and sorting': `search status expand sort_by sort_order substring_matching expires teamId modelId sortBy
    sortOrder debug include_team_models`,
};

const topicOfField = new Map(
  Object.entries(fieldsByTopic).flatMap(([topic, names]) =>
    names.split(/\s+/).map((name) => [name, topic] as const),
  ),
);

/** Topics of names that have another meaning in a body of these kinds. */
const topicsByKind: Readonly<Record<ObjectKind, Readonly<Record<string, string>>>> = {
  key: {
    expires: 'the end of a key, which duration sets',
    max_tokens: 'limits of a key',
    tier: 'limits of a key',
  },
  team: { key: 'the keys of a team, which /key/generate makes', expires: 'the end of a team' },
  model: { key: 'the secret of a model, which is litellm_params.api_key' },
};

/**
 * Returns the topic of a LiteLLM field without a meaning here; `undefined` for any other name.
 *
 * @param kind kind of object in the body
 */
export function absentField(name: string, kind?: ObjectKind): string | undefined {
  const topics = kind === undefined ? {} : topicsByKind[kind];
  return (Object.hasOwn(topics, name) ? topics[name] : undefined) ?? topicOfField.get(name);
}

/**
 * LiteLLM's routes that do not exist here, by the beginnings of their paths, with and without a version prefix.
 */
const routesByTopic: Readonly<Record<string, string>> = {
  'users and their sign-in': `user users invitation onboarding login logout sso jwt session sessions cli end_user customer
    scim user-credentials fallback/login get_favicon get_image`,
  'members of teams': `team/available team/member_add team/member_delete team/member_update team/bulk_member_add
    team/permissions_list team/permissions_update team/permissions_bulk_update team/filter teams team/metadata_schema`,
  'organizations and projects': 'organization project agent a2a',
  'budgets and spend': `budget budgets spend global spend_logs cost provider/budgets team/spend team/daily key/spend
    user/daily tag/daily customer/daily organization/daily usage report cloudzero vantage key/health`,
  'named credentials': 'credentials',
  'bulk work on keys, and service accounts':
    'key/aliases key/bulk_update key/service-account key/info team/key',
  'guardrails, policies and tags':
    'guardrails apply_guardrail policies policy tag access_group access_groups compliance',
  'tools, prompts and search': `mcp server toolset tools tool prompts search search_tools rag vector_store memory
    indexes ocr claude-code workflows`,
  'the configuration of a running proxy': `config config_overrides get update add delete callbacks callback cache redis
    flushall settings router fallback fallbacks reload schedule health routes debug alerting active test network memory-usage
    email model_hub public discover ui swagger redoc litellm langfuse otel-spans telemetry`,
  'the audit log': 'audit',
  'metrics, pauses and prices of models': `model/block model/unblock model/metrics model/settings model/streaming_metrics
    model/cost_map model/deprecations model_group/make_public model-insights auto_router adaptive_router`,
  'rerank and other calls': 'rerank messages interactions utils engines queue traces metrics',
  'protocols of other providers': `anthropic vertex_ai vertex-ai gemini bedrock cohere mistral assemblyai azure azure_ai
    openai_passthrough vllm watsonx nvidia_nim openrouter cursor milvus transcribe v1beta`,
};

const topicOfRoute = new Map(
  Object.entries(routesByTopic).flatMap(([topic, paths]) =>
    paths.split(/\s+/).map((path) => [path, topic] as const),
  ),
);

/** Returns the topic of a LiteLLM route that does not exist here; `undefined` for any other path. */
export function absentRoute(path: string): string | undefined {
  const [first = '', second = ''] = path
    .replace(/^\/v[1-3]\//, '/')
    .slice(1)
    .split('/');
  return topicOfRoute.get(`${first}/${second}`) ?? topicOfRoute.get(first);
}

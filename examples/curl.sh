#!/bin/sh
# The three calls of LiteLLM's page on team models, against the gateway: a team adds its model, calls it, and looks
# it up. https://docs.litellm.ai/docs/proxy/team_model_add
#
#     TEAM_KEY=sk-... PROVIDER_KEY=... API_BASE=https://my-endpoint.openai.azure.com sh examples/curl.sh
#
# TEAM_KEY is an API key of the team e59e2671-a064-436a-a0fa-16ae96e5a0a1, which the operator makes. API_BASE may be the
# address of any Azure resource, since the body names an api_version; one that is not a public https address the gateway
# needs to be told of (--egress-allow).
#
#     GATEWAY=http://127.0.0.1:4000
#     curl "$GATEWAY/team/new" -H "Authorization: Bearer $(cat team-models/master-key)" \
#       -H 'Content-Type: application/json' -d '{"team_id": "e59e2671-a064-436a-a0fa-16ae96e5a0a1"}'
#     curl "$GATEWAY/key/generate" -H "Authorization: Bearer $(cat team-models/master-key)" \
#       -H 'Content-Type: application/json' -d '{"team_id": "e59e2671-a064-436a-a0fa-16ae96e5a0a1"}'
set -eu
: "${GATEWAY:=http://127.0.0.1:4000}" "${TEAM_KEY:?}" "${PROVIDER_KEY:?}" "${API_BASE:?}"

curl -sS --fail-with-body -L -X POST "$GATEWAY/model/new" \
-H "Authorization: Bearer $TEAM_KEY" \
-H 'Content-Type: application/json' \
-d '{
  "model_name": "my-team-model",
  "litellm_params": {
    "model": "openai/gpt-4o",
    "custom_llm_provider": "openai",
    "api_key": "'"$PROVIDER_KEY"'",
    "api_base": "'"$API_BASE"'",
    "api_version": "2023-12-01-preview"
  },
  "model_info": {
    "team_id": "e59e2671-a064-436a-a0fa-16ae96e5a0a1"
  }
}'
echo

curl -sS --fail-with-body -L -X POST "$GATEWAY/v1/chat/completions" \
-H 'Content-Type: application/json' \
-H "Authorization: Bearer $TEAM_KEY" \
-d '{
  "model": "my-team-model",
  "messages": [
    {
      "role": "user",
      "content": "What'\''s the weather like in Boston today?"
    }
  ]
}'
echo

curl -sS --fail-with-body -L -X GET "$GATEWAY/team/info?team_id=e59e2671-a064-436a-a0fa-16ae96e5a0a1" \
-H "Authorization: Bearer $TEAM_KEY"
echo

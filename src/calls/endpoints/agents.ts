import { content, created, type Endpoint, listed, type Row, type Traits } from './endpoint.ts';

/** Returns a row of the API of agents, whose calls carry no model unless they say so. */
const row = (id: string, route: Row[1], traits: Traits = {}, model: Endpoint['model'] = 'none'): Row => [
  `beta.agents.${id}`,
  route,
  model,
  traits,
];

const session = '/agents/sessions/{session_id}';
const subagent = `${session}/subagents/{subagent_id}` as const;

/** Agents with their sessions. */
export const agents: readonly Row[] = [
  row('create', 'POST /agents', created, 'json'),
  row('list', 'GET /agents', listed()),
  row('retrieve', 'GET /agents/{agent_id}'),
  row('update', 'POST /agents/{agent_id}', {}, 'json_optional'),
  row('delete', 'DELETE /agents/{agent_id}'),
  row('sessions.create', 'POST /agents/sessions', { ...created, streams: 'plain' }),
  row('sessions.list', 'GET /agents/sessions', listed('agent_id metadata')),
  row('sessions.retrieve', `GET ${session}`),
  row('sessions.update', `POST ${session}`),
  row('sessions.delete', `DELETE ${session}`),
  row('sessions.events.create', `POST ${session}/events`),
  row('sessions.events.stream', `GET ${session}/events`, { streams: 'plain', query: 'include_obfuscation' }),
  row('sessions.items.list', `GET ${session}/items`, listed()),
  row('sessions.traces.list', `GET ${session}/traces`, listed()),
  row('sessions.turns.list', `GET ${session}/turns`, listed()),
  row('sessions.turns.retrieve', `GET ${session}/turns/{turn_id}`),
  row('sessions.turns.items.list', `GET ${session}/turns/{turn_id}/items`, listed()),
  row('sessions.artifacts.list', `GET ${session}/artifacts`, listed('environment_id')),
  row('sessions.artifacts.retrieve', `GET ${session}/artifacts/{artifact_id}`),
  row('sessions.artifacts.delete', `DELETE ${session}/artifacts/{artifact_id}`),
  row('sessions.artifacts.content', `GET ${session}/artifacts/{artifact_id}/content`, content),
  row('sessions.subagents.list', `GET ${session}/subagents`, listed()),
  row('sessions.subagents.retrieve', `GET ${subagent}`),
  row('sessions.subagents.items.list', `GET ${subagent}/items`, listed()),
  row('sessions.subagents.turns.list', `GET ${subagent}/turns`, listed()),
  row('sessions.subagents.turns.retrieve', `GET ${subagent}/turns/{turn_id}`),
  row('sessions.subagents.turns.items.list', `GET ${subagent}/turns/{turn_id}/items`, listed()),
];

/** What agents work in, with, and at which times. */
export const agentSettings: readonly Row[] = [
  row('automations.create', 'POST /agents/automations', created),
  row('automations.list', 'GET /agents/automations', listed('session_id')),
  row('automations.retrieve', 'GET /agents/automations/{automation_id}'),
  row('automations.update', 'POST /agents/automations/{automation_id}'),
  row('automations.delete', 'DELETE /agents/automations/{automation_id}'),
  row('automations.pause', 'POST /agents/automations/{automation_id}/pause'),
  row('automations.resume', 'POST /agents/automations/{automation_id}/resume'),
  row('automations.invocations.create', 'POST /agents/automations/{automation_id}/invocations'),
  row('automations.invocations.list', 'GET /agents/automations/{automation_id}/invocations', listed()),
  row(
    'automations.invocations.retrieve',
    'GET /agents/automations/{automation_id}/invocations/{invocation_id}',
  ),
  row('environments.create', 'POST /agents/environments', created),
  row('environments.list', 'GET /agents/environments', listed('type')),
  row('environments.retrieve', 'GET /agents/environments/{environment_id}'),
  row('environments.files.create', 'POST /agents/environments/{environment_id}/files'),
  row('environments.files.list', 'GET /agents/environments/{environment_id}/files', listed('page path')),
  row('environments.templates.create', 'POST /agents/environments/templates', created),
  row('environments.templates.list', 'GET /agents/environments/templates', listed()),
  row('environments.templates.retrieve', 'GET /agents/environments/templates/{template_id}'),
  row('environments.templates.update', 'POST /agents/environments/templates/{template_id}'),
  row('environments.templates.delete', 'DELETE /agents/environments/templates/{template_id}'),
  row('vaults.create', 'POST /vaults', created),
  row('vaults.list', 'GET /vaults', listed('metadata status')),
  row('vaults.retrieve', 'GET /vaults/{vault_id}'),
  row('vaults.update', 'POST /vaults/{vault_id}'),
  row('vaults.delete', 'DELETE /vaults/{vault_id}'),
  row('vaults.credentials.create', 'POST /vaults/{vault_id}/credentials'),
  row('vaults.credentials.list', 'GET /vaults/{vault_id}/credentials', listed('metadata status')),
  row('vaults.credentials.retrieve', 'GET /vaults/{vault_id}/credentials/{credential_id}'),
  row('vaults.credentials.update', 'POST /vaults/{vault_id}/credentials/{credential_id}'),
  row('vaults.credentials.delete', 'DELETE /vaults/{vault_id}/credentials/{credential_id}'),
];

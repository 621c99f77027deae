import type { OpenAI } from 'openai-7';
import { toFile } from 'openai-7';

/** A call of the newest client, by the id of its row. */
export interface NewerCall {
  id: string;
  /** @param model the model that a body names */
  call: (client: OpenAI, model: string) => PromiseLike<unknown>;
  /** An event stream is the answer. */
  stream?: true;
}

const upload = (name: string) => toFile(Buffer.from('some bytes'), name);
const page = { limit: 2, after: 'one/two', order: 'asc' as const };
const metadata = { topic: 'test' };
const session = { session_id: 'sess_1' };
const subagent = { ...session, subagent_id: 'sub_1' };
const vault = { vault_id: 'vault_1' };
const thread = { thread_id: 'thread_1' };
const evalRun = { eval_id: 'eval_1', run_id: 'run_1' };
const any = (value: unknown) => value as never;

type Pair = readonly [id: string, call: NewerCall['call'], stream?: true];

const media: readonly Pair[] = [
  ['containers.create', (c) => c.containers.create({ name: 'box', file_ids: ['file-1'] })],
  ['containers.list', (c) => c.containers.list({ ...page, name: 'box' })],
  ['containers.retrieve', (c) => c.containers.retrieve('cntr_1')],
  ['containers.delete', (c) => c.containers.delete('cntr_1')],
  [
    'containers.files.create',
    async (c) => c.containers.files.create('cntr_1', { file: await upload('a.txt') }),
  ],
  ['containers.files.create', (c) => c.containers.files.create('cntr_1', { file_id: 'file-1' })],
  ['containers.files.list', (c) => c.containers.files.list('cntr_1', page)],
  ['containers.files.retrieve', (c) => c.containers.files.retrieve('cfile_1', { container_id: 'cntr_1' })],
  ['containers.files.delete', (c) => c.containers.files.delete('cfile_1', { container_id: 'cntr_1' })],
  [
    'containers.files.content.retrieve',
    (c) => c.containers.files.content.retrieve('cfile_1', { container_id: 'cntr_1' }),
  ],
  ['skills.create', async (c) => c.skills.create({ files: [await upload('SKILL.md')] })],
  ['skills.list', (c) => c.skills.list(page)],
  ['skills.retrieve', (c) => c.skills.retrieve('skill_1')],
  ['skills.update', (c) => c.skills.update('skill_1', { default_version: '2' })],
  ['skills.delete', (c) => c.skills.delete('skill_1')],
  ['skills.content.retrieve', (c) => c.skills.content.retrieve('skill_1')],
  [
    'skills.versions.create',
    async (c) => c.skills.versions.create('skill_1', { files: [await upload('SKILL.md')], default: true }),
  ],
  ['skills.versions.list', (c) => c.skills.versions.list('skill_1', page)],
  ['skills.versions.retrieve', (c) => c.skills.versions.retrieve('2', { skill_id: 'skill_1' })],
  ['skills.versions.delete', (c) => c.skills.versions.delete('2', { skill_id: 'skill_1' })],
  [
    'skills.versions.content.retrieve',
    (c) => c.skills.versions.content.retrieve('2', { skill_id: 'skill_1' }),
  ],
  [
    'audio.voiceConsents.create',
    async (c) =>
      c.audio.voiceConsents.create({ language: 'en', name: 'me', recording: await upload('me.wav') }),
  ],
  ['audio.voiceConsents.list', (c) => c.audio.voiceConsents.list({ limit: 2, after: 'cons_0' })],
  ['audio.voiceConsents.retrieve', (c) => c.audio.voiceConsents.retrieve('cons_1')],
  ['audio.voiceConsents.update', (c) => c.audio.voiceConsents.update('cons_1', { name: 'her' })],
  ['audio.voiceConsents.delete', (c) => c.audio.voiceConsents.delete('cons_1')],
  [
    'audio.voices.create',
    async (c) =>
      c.audio.voices.create(any({ name: 'v', consent: 'cons_1', audio_sample: await upload('v.wav') })),
  ],
  ['audio.voices.delete', (c) => c.audio.voices.delete('voice_1')],
  ['videos.create', (c, model) => c.videos.create({ model, prompt: 'a cat', seconds: '4' })],
  [
    'videos.create',
    async (c, model) => c.videos.create({ prompt: 'a cat', input_reference: await upload('a.png'), model }),
  ],
  ['videos.list', (c) => c.videos.list(page)],
  ['videos.retrieve', (c) => c.videos.retrieve('video_1')],
  ['videos.delete', (c) => c.videos.delete('video_1')],
  ['videos.downloadContent', (c) => c.videos.downloadContent('video_1', { variant: 'thumbnail' })],
  ['videos.remix', (c) => c.videos.remix('video_1', { prompt: 'at night' })],
  ['videos.edit', (c) => c.videos.edit({ prompt: 'at night', video: { id: 'video_1' } })],
  ['videos.extend', (c) => c.videos.extend({ prompt: 'on', seconds: '4', video: { id: 'video_1' } })],
  [
    'videos.createCharacter',
    async (c) => c.videos.createCharacter({ name: 'cat', video: await upload('cat.mp4') }),
  ],
  ['videos.getCharacter', (c) => c.videos.getCharacter('char_1')],
  [
    'contentProvenanceChecks.create',
    async (c) => c.contentProvenanceChecks.create({ file: await upload('a.png') }),
  ],
];

const training: readonly Pair[] = [
  [
    'fineTuning.checkpoints.permissions.create',
    (c) => c.fineTuning.checkpoints.permissions.create('ft:m:acme::abc', { project_ids: ['proj_1'] }),
  ],
  [
    'fineTuning.checkpoints.permissions.list',
    (c) =>
      c.fineTuning.checkpoints.permissions.list('ft:m:acme::abc', {
        project_id: 'proj_1',
        limit: 2,
        order: 'ascending',
      }),
  ],
  [
    'fineTuning.checkpoints.permissions.delete',
    (c) =>
      c.fineTuning.checkpoints.permissions.delete('cp_1', { fine_tuned_model_checkpoint: 'ft:m:acme::abc' }),
  ],
  [
    'fineTuning.alpha.graders.run',
    (c) => c.fineTuning.alpha.graders.run({ grader: any({ type: 'string_check' }), model_sample: 'x' }),
  ],
  [
    'fineTuning.alpha.graders.validate',
    (c) => c.fineTuning.alpha.graders.validate({ grader: any({ type: 'string_check' }) }),
  ],
  [
    'evals.create',
    (c) => c.evals.create({ data_source_config: any({ type: 'custom' }), testing_criteria: [], name: 'e' }),
  ],
  ['evals.list', (c) => c.evals.list({ ...page, order_by: 'updated_at' })],
  ['evals.retrieve', (c) => c.evals.retrieve('eval_1')],
  ['evals.update', (c) => c.evals.update('eval_1', { name: 'new', metadata })],
  ['evals.delete', (c) => c.evals.delete('eval_1')],
  [
    'evals.runs.create',
    (c) => c.evals.runs.create('eval_1', { data_source: any({ type: 'jsonl' }), metadata }),
  ],
  ['evals.runs.list', (c) => c.evals.runs.list('eval_1', { ...page, status: 'completed' })],
  ['evals.runs.retrieve', (c) => c.evals.runs.retrieve('run_1', { eval_id: 'eval_1' })],
  ['evals.runs.cancel', (c) => c.evals.runs.cancel('run_1', { eval_id: 'eval_1' })],
  ['evals.runs.cancel, version 6', (c) => c.post('/evals/eval_1/runs/run_1')],
  ['evals.runs.delete', (c) => c.evals.runs.delete('run_1', { eval_id: 'eval_1' })],
  [
    'evals.runs.outputItems.list',
    (c) => c.evals.runs.outputItems.list('run_1', { eval_id: 'eval_1', ...page, status: 'fail' }),
  ],
  ['evals.runs.outputItems.retrieve', (c) => c.evals.runs.outputItems.retrieve('item_1', evalRun)],
];

const sessions: readonly Pair[] = [
  [
    'realtime.clientSecrets.create',
    (c) => c.realtime.clientSecrets.create({ expires_after: { anchor: 'created_at', seconds: 60 } }),
  ],
  [
    'realtime.translations.clientSecrets.create',
    (c) => c.realtime.translations.clientSecrets.create(any({ expires_after: { anchor: 'created_at' } })),
  ],
  [
    'realtime.calls.create',
    (c) => c.realtime.calls.create({ sdp: 'v=0', session: any({ type: 'realtime' }) }),
  ],
  ['realtime.calls.accept', (c, model) => c.realtime.calls.accept('rtc_1', { type: 'realtime', model })],
  [
    'realtime.calls.accept',
    (c) => c.realtime.calls.accept('rtc_1', { type: 'realtime', instructions: 'hi' }),
  ],
  ['realtime.calls.hangup', (c) => c.realtime.calls.hangup('rtc_1')],
  ['realtime.calls.refer', (c) => c.realtime.calls.refer('rtc_1', { target_uri: 'tel:+1' })],
  ['realtime.calls.reject', (c) => c.realtime.calls.reject('rtc_1', { status_code: 486 })],
  [
    'beta.realtime.sessions.create',
    (c, model) => c.beta.realtime.sessions.create({ model: any(model), instructions: 'hi' }),
  ],
  [
    'beta.realtime.transcriptionSessions.create',
    (c) => c.beta.realtime.transcriptionSessions.create({ input_audio_format: 'pcm16' }),
  ],
  ['live.create', (c) => c.live.create({ session: any({}), transport: any({ type: 'webrtc', sdp: 'v=0' }) })],
  ['live.sessions.accept', (c) => c.live.sessions.accept('live_1', { session: any({}) })],
  ['live.sessions.fork', (c) => c.live.sessions.fork('live_1', { transport: any({ type: 'webrtc' }) })],
  ['live.sessions.hangup', (c) => c.live.sessions.hangup('live_1')],
  ['live.sessions.refer', (c) => c.live.sessions.refer('live_1', { target_uri: 'tel:+1' })],
  ['live.sessions.reject', (c) => c.live.sessions.reject('live_1', { status_code: 486 })],
  ['live.sessions.downloadRecording', (c) => c.live.sessions.downloadRecording('live_1')],
  [
    'beta.chatkit.sessions.create',
    (c) => c.beta.chatkit.sessions.create({ user: 'u', workflow: { id: 'wf_1' } }),
  ],
  ['beta.chatkit.sessions.cancel', (c) => c.beta.chatkit.sessions.cancel('cksess_1')],
  ['beta.chatkit.threads.list', (c) => c.beta.chatkit.threads.list({ ...page, user: 'u' })],
  ['beta.chatkit.threads.retrieve', (c) => c.beta.chatkit.threads.retrieve('cthr_1')],
  ['beta.chatkit.threads.delete', (c) => c.beta.chatkit.threads.delete('cthr_1')],
  ['beta.chatkit.threads.listItems', (c) => c.beta.chatkit.threads.listItems('cthr_1', page)],
];

const assistants: readonly Pair[] = [
  ['beta.assistants.create', (c, model) => c.beta.assistants.create({ model, name: 'a' })],
  ['beta.assistants.list', (c) => c.beta.assistants.list({ ...page, before: 'asst_9' })],
  ['beta.assistants.retrieve', (c) => c.beta.assistants.retrieve('asst_1')],
  ['beta.assistants.update', (c, model) => c.beta.assistants.update('asst_1', { name: 'b', model })],
  ['beta.assistants.update', (c) => c.beta.assistants.update('asst_1', { name: 'b' })],
  ['beta.assistants.delete', (c) => c.beta.assistants.delete('asst_1')],
  ['beta.threads.create', (c) => c.beta.threads.create({ messages: [{ role: 'user', content: 'hi' }] })],
  [
    'beta.threads.createAndRun',
    (c, model) => c.beta.threads.createAndRun({ assistant_id: 'asst_1', model, instructions: 'x' }),
  ],
  [
    'beta.threads.createAndRun',
    (c) => c.beta.threads.createAndRun({ assistant_id: 'asst_1', stream: true }),
    true,
  ],
  ['beta.threads.retrieve', (c) => c.beta.threads.retrieve('thread_1')],
  ['beta.threads.update', (c) => c.beta.threads.update('thread_1', { metadata })],
  ['beta.threads.delete', (c) => c.beta.threads.delete('thread_1')],
  [
    'beta.threads.messages.create',
    (c) => c.beta.threads.messages.create('thread_1', { role: 'user', content: 'hi' }),
  ],
  [
    'beta.threads.messages.list',
    (c) => c.beta.threads.messages.list('thread_1', { ...page, run_id: 'run_1' }),
  ],
  ['beta.threads.messages.retrieve', (c) => c.beta.threads.messages.retrieve('msg_1', thread)],
  ['beta.threads.messages.update', (c) => c.beta.threads.messages.update('msg_1', { ...thread, metadata })],
  ['beta.threads.messages.delete', (c) => c.beta.threads.messages.delete('msg_1', thread)],
  ['beta.threads.runs.create', (c) => c.beta.threads.runs.create('thread_1', { assistant_id: 'asst_1' })],
  [
    'beta.threads.runs.create',
    (c, model) =>
      c.beta.threads.runs.create('thread_1', {
        assistant_id: 'asst_1',
        model,
        stream: true,
        include: ['step_details.tool_calls[*].file_search.results[*].content'],
      }),
    true,
  ],
  ['beta.threads.runs.list', (c) => c.beta.threads.runs.list('thread_1', page)],
  ['beta.threads.runs.retrieve', (c) => c.beta.threads.runs.retrieve('run_1', thread)],
  ['beta.threads.runs.update', (c) => c.beta.threads.runs.update('run_1', { ...thread, metadata })],
  ['beta.threads.runs.cancel', (c) => c.beta.threads.runs.cancel('run_1', thread)],
  [
    'beta.threads.runs.submitToolOutputs',
    (c) => c.beta.threads.runs.submitToolOutputs('run_1', { ...thread, tool_outputs: [] }),
  ],
  [
    'beta.threads.runs.submitToolOutputs',
    (c) => c.beta.threads.runs.submitToolOutputs('run_1', { ...thread, tool_outputs: [], stream: true }),
    true,
  ],
  ['beta.threads.runs.steps.list', (c) => c.beta.threads.runs.steps.list('run_1', { ...thread, ...page })],
  [
    'beta.threads.runs.steps.retrieve',
    (c) =>
      c.beta.threads.runs.steps.retrieve('step_1', {
        ...thread,
        run_id: 'run_1',
        include: ['step_details.tool_calls[*].file_search.results[*].content'],
      }),
  ],
];

const agents: readonly Pair[] = [
  ['create', (c, model) => c.beta.agents.create({ model, name: 'a' })],
  ['list', (c) => c.beta.agents.list(page)],
  ['retrieve', (c) => c.beta.agents.retrieve('agent_1')],
  ['update', (c) => c.beta.agents.update('agent_1', { name: 'b' })],
  ['update', (c, model) => c.beta.agents.update('agent_1', { name: 'b', model })],
  ['delete', (c) => c.beta.agents.delete('agent_1')],
  [
    'sessions.create',
    (c) => c.beta.agents.sessions.create({ environment: any({ type: 'x' }), agent_id: 'agent_1' }),
  ],
  [
    'sessions.create',
    (c) => c.beta.agents.sessions.create({ environment: any({ type: 'x' }), input: 'hi', stream: true }),
    true,
  ],
  ['sessions.list', (c) => c.beta.agents.sessions.list({ ...page, agent_id: 'agent_1', metadata })],
  ['sessions.retrieve', (c) => c.beta.agents.sessions.retrieve('sess_1')],
  ['sessions.update', (c) => c.beta.agents.sessions.update('sess_1', { metadata })],
  ['sessions.delete', (c) => c.beta.agents.sessions.delete('sess_1')],
  ['sessions.events.create', (c) => c.beta.agents.sessions.events.create('sess_1', { events: [] })],
  [
    'sessions.events.stream',
    (c) => c.beta.agents.sessions.events.stream('sess_1', any({ include_obfuscation: false })),
    true,
  ],
  ['sessions.items.list', (c) => c.beta.agents.sessions.items.list('sess_1', page)],
  ['sessions.traces.list', (c) => c.beta.agents.sessions.traces.list('sess_1', page)],
  ['sessions.turns.list', (c) => c.beta.agents.sessions.turns.list('sess_1', page)],
  ['sessions.turns.retrieve', (c) => c.beta.agents.sessions.turns.retrieve('turn_1', session)],
  [
    'sessions.turns.items.list',
    (c) => c.beta.agents.sessions.turns.items.list('turn_1', { ...session, ...page }),
  ],
  [
    'sessions.artifacts.list',
    (c) => c.beta.agents.sessions.artifacts.list('sess_1', { ...page, environment_id: 'env_1' }),
  ],
  ['sessions.artifacts.retrieve', (c) => c.beta.agents.sessions.artifacts.retrieve('art_1', session)],
  ['sessions.artifacts.delete', (c) => c.beta.agents.sessions.artifacts.delete('art_1', session)],
  ['sessions.artifacts.content', (c) => c.beta.agents.sessions.artifacts.content('art_1', session)],
  ['sessions.subagents.list', (c) => c.beta.agents.sessions.subagents.list('sess_1', page)],
  ['sessions.subagents.retrieve', (c) => c.beta.agents.sessions.subagents.retrieve('sub_1', session)],
  [
    'sessions.subagents.items.list',
    (c) => c.beta.agents.sessions.subagents.items.list('sub_1', { ...session, ...page }),
  ],
  [
    'sessions.subagents.turns.list',
    (c) => c.beta.agents.sessions.subagents.turns.list('sub_1', { ...session, ...page }),
  ],
  [
    'sessions.subagents.turns.retrieve',
    (c) => c.beta.agents.sessions.subagents.turns.retrieve('turn_1', subagent),
  ],
  [
    'sessions.subagents.turns.items.list',
    (c) => c.beta.agents.sessions.subagents.turns.items.list('turn_1', { ...subagent, ...page }),
  ],
  [
    'automations.create',
    (c) => c.beta.agents.automations.create({ name: 'n', run_at: 1, target: any({}), type: 'once' }),
  ],
  ['automations.list', (c) => c.beta.agents.automations.list({ ...page, session_id: 'sess_1' })],
  ['automations.retrieve', (c) => c.beta.agents.automations.retrieve('auto_1')],
  ['automations.update', (c) => c.beta.agents.automations.update('auto_1', any({ name: 'm' }))],
  ['automations.delete', (c) => c.beta.agents.automations.delete('auto_1')],
  ['automations.pause', (c) => c.beta.agents.automations.pause('auto_1')],
  ['automations.resume', (c) => c.beta.agents.automations.resume('auto_1')],
  ['automations.invocations.create', (c) => c.beta.agents.automations.invocations.create('auto_1')],
  ['automations.invocations.list', (c) => c.beta.agents.automations.invocations.list('auto_1', page)],
  [
    'automations.invocations.retrieve',
    (c) => c.beta.agents.automations.invocations.retrieve('inv_1', { automation_id: 'auto_1' }),
  ],
  [
    'environments.create',
    (c) => c.beta.agents.environments.create({ environment: any({}), vault_ids: ['vault_1'] }),
  ],
  ['environments.list', (c) => c.beta.agents.environments.list({ ...page, type: 'openai_hosted' })],
  ['environments.retrieve', (c) => c.beta.agents.environments.retrieve('env_1')],
  [
    'environments.files.create',
    (c) => c.beta.agents.environments.files.create('env_1', any({ path: '/workspace/a' })),
  ],
  [
    'environments.files.list',
    (c) => c.beta.agents.environments.files.list('env_1', { limit: 2, page: 'p', path: '/workspace' }),
  ],
  ['environments.templates.create', (c) => c.beta.agents.environments.templates.create({ name: 't' })],
  ['environments.templates.list', (c) => c.beta.agents.environments.templates.list(page)],
  ['environments.templates.retrieve', (c) => c.beta.agents.environments.templates.retrieve('tmpl_1')],
  [
    'environments.templates.update',
    (c) => c.beta.agents.environments.templates.update('tmpl_1', { name: 'u' }),
  ],
  ['environments.templates.delete', (c) => c.beta.agents.environments.templates.delete('tmpl_1')],
  ['vaults.create', (c) => c.beta.agents.vaults.create({ name: 'v', metadata })],
  ['vaults.list', (c) => c.beta.agents.vaults.list({ ...page, metadata, status: any('active') })],
  ['vaults.retrieve', (c) => c.beta.agents.vaults.retrieve('vault_1')],
  ['vaults.update', (c) => c.beta.agents.vaults.update('vault_1', { name: 'w' })],
  ['vaults.delete', (c) => c.beta.agents.vaults.delete('vault_1')],
  [
    'vaults.credentials.create',
    (c) => c.beta.agents.vaults.credentials.create('vault_1', { auth: any({ type: 'x' }), name: 'c' }),
  ],
  ['vaults.credentials.list', (c) => c.beta.agents.vaults.credentials.list('vault_1', { ...page, metadata })],
  ['vaults.credentials.retrieve', (c) => c.beta.agents.vaults.credentials.retrieve('cred_1', vault)],
  [
    'vaults.credentials.update',
    (c) => c.beta.agents.vaults.credentials.update('cred_1', { ...vault, auth: any({ type: 'x' }) }),
  ],
  ['vaults.credentials.delete', (c) => c.beta.agents.vaults.credentials.delete('cred_1', vault)],
];

const account: readonly Pair[] = [
  [
    'webhooks.create',
    (c) => c.webhooks.create({ event_types: ['batch.completed'], name: 'w', url: 'https://hooks.example/1' }),
  ],
  ['webhooks.list', (c) => c.webhooks.list({ limit: 2, after: 'we_0' })],
  ['webhooks.retrieve', (c) => c.webhooks.retrieve('we_1')],
  ['webhooks.update', (c) => c.webhooks.update('we_1', { name: 'x' })],
  ['webhooks.delete', (c) => c.webhooks.delete('we_1')],
  [
    'webhooks.rotateSecret',
    (c) => c.webhooks.rotateSecret('we_1', { keep_old_secret_active_for_24_hours: true }),
  ],
  ['webhooks.test', (c) => c.webhooks.test('we_1', { event_type: 'batch.completed' })],
  ['webhooks.eventTypes.list', (c) => c.webhooks.eventTypes.list()],
  ['decisions.create', (c, model) => c.decisions.create({ model, input: 'x', questions: [] })],
  ['safety.alerts.retrieve', (c) => c.safety.alerts.retrieve('alert_1')],
  ['safety.cases.retrieve', (c) => c.safety.cases.retrieve('case_1')],
  ['responses.create', (c, model) => c.beta.responses.create(any({ model, input: 'x' }))],
  ['responses.retrieve', (c) => c.beta.responses.retrieve('resp_1')],
  ['responses.delete', (c) => c.beta.responses.delete('resp_1')],
  ['responses.cancel', (c) => c.beta.responses.cancel('resp_1')],
  ['responses.compact', (c, model) => c.beta.responses.compact(any({ model, input: 'x' }))],
  ['responses.inputItems.list', (c) => c.beta.responses.inputItems.list('resp_1', page)],
  [
    'responses.inputTokens.count',
    (c, model) => c.beta.responses.inputTokens.count(any({ model, input: 'x' })),
  ],
];

const pairs: readonly Pair[] = [
  ...media,
  ...training,
  ...sessions,
  ...assistants,
  ...agents.map(([id, ...rest]) => [`beta.agents.${id}`, ...rest] as const),
  ...account,
];

/** One call or more for each row that only the newest client has, or that it calls differently. */
export const newerCalls: readonly NewerCall[] = pairs.map(([id, call, stream]) => ({
  id,
  call,
  ...(stream && { stream }),
}));

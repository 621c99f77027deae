import { created, listed, type Row, type Traits } from './endpoint.ts';

const included: Traits = { query: 'include' };
const run: Traits = { streams: 'thread', usage: 'usage' };

/** Assistants, threads and runs. */
export const assistants: readonly Row[] = [
  ['beta.assistants.create', 'POST /assistants', 'json', created],
  ['beta.assistants.list', 'GET /assistants', 'none', listed()],
  ['beta.assistants.retrieve', 'GET /assistants/{assistant_id}', 'none'],
  ['beta.assistants.update', 'POST /assistants/{assistant_id}', 'json_optional'],
  ['beta.assistants.delete', 'DELETE /assistants/{assistant_id}', 'none'],
  ['beta.threads.create', 'POST /threads', 'none', created],
  ['beta.threads.createAndRun', 'POST /threads/runs', 'json_optional', { ...run, createsIds: 'thread_id' }],
  ['beta.threads.retrieve', 'GET /threads/{thread_id}', 'none'],
  ['beta.threads.update', 'POST /threads/{thread_id}', 'none'],
  ['beta.threads.delete', 'DELETE /threads/{thread_id}', 'none'],
  ['beta.threads.messages.create', 'POST /threads/{thread_id}/messages', 'none'],
  ['beta.threads.messages.list', 'GET /threads/{thread_id}/messages', 'none', listed('run_id')],
  ['beta.threads.messages.retrieve', 'GET /threads/{thread_id}/messages/{message_id}', 'none'],
  ['beta.threads.messages.update', 'POST /threads/{thread_id}/messages/{message_id}', 'none'],
  ['beta.threads.messages.delete', 'DELETE /threads/{thread_id}/messages/{message_id}', 'none'],
  ['beta.threads.runs.create', 'POST /threads/{thread_id}/runs', 'json_optional', { ...run, ...included }],
  ['beta.threads.runs.list', 'GET /threads/{thread_id}/runs', 'none', listed()],
  ['beta.threads.runs.retrieve', 'GET /threads/{thread_id}/runs/{run_id}', 'none', { usage: 'usage' }],
  ['beta.threads.runs.update', 'POST /threads/{thread_id}/runs/{run_id}', 'none'],
  ['beta.threads.runs.cancel', 'POST /threads/{thread_id}/runs/{run_id}/cancel', 'none'],
  [
    'beta.threads.runs.submitToolOutputs',
    'POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs',
    'none',
    run,
  ],
  ['beta.threads.runs.steps.list', 'GET /threads/{thread_id}/runs/{run_id}/steps', 'none', listed('include')],
  [
    'beta.threads.runs.steps.retrieve',
    'GET /threads/{thread_id}/runs/{run_id}/steps/{step_id}',
    'none',
    included,
  ],
];

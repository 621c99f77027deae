import { created, listed, type Row } from './endpoint.ts';

/** Fine-tuning jobs with their checkpoints and graders. */
export const fineTuning: readonly Row[] = [
  ['fineTuning.jobs.create', 'POST /fine_tuning/jobs', 'provider', created],
  ['fineTuning.jobs.list', 'GET /fine_tuning/jobs', 'none', listed('metadata')],
  ['fineTuning.jobs.retrieve', 'GET /fine_tuning/jobs/{job_id}', 'none', { createsIds: 'result_files' }],
  ['fineTuning.jobs.cancel', 'POST /fine_tuning/jobs/{job_id}/cancel', 'none'],
  ['fineTuning.jobs.pause', 'POST /fine_tuning/jobs/{job_id}/pause', 'none'],
  ['fineTuning.jobs.resume', 'POST /fine_tuning/jobs/{job_id}/resume', 'none'],
  ['fineTuning.jobs.listEvents', 'GET /fine_tuning/jobs/{job_id}/events', 'none', listed()],
  ['fineTuning.jobs.checkpoints.list', 'GET /fine_tuning/jobs/{job_id}/checkpoints', 'none', listed()],
  [
    'fineTuning.checkpoints.permissions.create',
    'POST /fine_tuning/checkpoints/{checkpoint}/permissions',
    'none',
  ],
  [
    'fineTuning.checkpoints.permissions.list',
    'GET /fine_tuning/checkpoints/{checkpoint}/permissions',
    'none',
    listed('project_id'),
  ],
  [
    'fineTuning.checkpoints.permissions.delete',
    'DELETE /fine_tuning/checkpoints/{checkpoint}/permissions/{permission_id}',
    'none',
  ],
  ['fineTuning.alpha.graders.run', 'POST /fine_tuning/alpha/graders/run', 'none'],
  ['fineTuning.alpha.graders.validate', 'POST /fine_tuning/alpha/graders/validate', 'none'],
];

/** Evaluations. */
export const evals: readonly Row[] = [
  ['evals.create', 'POST /evals', 'none', created],
  ['evals.list', 'GET /evals', 'none', listed('order_by')],
  ['evals.retrieve', 'GET /evals/{eval_id}', 'none'],
  ['evals.update', 'POST /evals/{eval_id}', 'none'],
  ['evals.delete', 'DELETE /evals/{eval_id}', 'none'],
  ['evals.runs.create', 'POST /evals/{eval_id}/runs', 'none'],
  ['evals.runs.list', 'GET /evals/{eval_id}/runs', 'none', listed('status')],
  ['evals.runs.retrieve', 'GET /evals/{eval_id}/runs/{run_id}', 'none'],
  // Clients of version 6 send this one, later ones the next.
  ['evals.runs.cancel, version 6', 'POST /evals/{eval_id}/runs/{run_id}', 'none'],
  ['evals.runs.cancel', 'POST /evals/{eval_id}/runs/{run_id}/cancel', 'none'],
  ['evals.runs.delete', 'DELETE /evals/{eval_id}/runs/{run_id}', 'none'],
  [
    'evals.runs.outputItems.list',
    'GET /evals/{eval_id}/runs/{run_id}/output_items',
    'none',
    listed('status'),
  ],
  [
    'evals.runs.outputItems.retrieve',
    'GET /evals/{eval_id}/runs/{run_id}/output_items/{output_item_id}',
    'none',
  ],
];

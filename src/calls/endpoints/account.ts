import { created, listed, type Row } from './endpoint.ts';

/** What an account has besides: webhooks, decisions and the cases of its safety. */
export const account: readonly Row[] = [
  ['webhooks.create', 'POST /webhook_endpoints', 'none', created],
  ['webhooks.list', 'GET /webhook_endpoints', 'none', listed()],
  ['webhooks.retrieve', 'GET /webhook_endpoints/{webhook_endpoint_id}', 'none'],
  ['webhooks.update', 'POST /webhook_endpoints/{webhook_endpoint_id}', 'none'],
  ['webhooks.delete', 'DELETE /webhook_endpoints/{webhook_endpoint_id}', 'none'],
  ['webhooks.rotateSecret', 'POST /webhook_endpoints/{webhook_endpoint_id}/rotate_secret', 'none'],
  ['webhooks.test', 'POST /webhook_endpoints/{webhook_endpoint_id}/test', 'none'],
  ['webhooks.eventTypes.list', 'GET /webhook_event_types', 'none'],
  ['decisions.create', 'POST /decisions', 'json', { usage: 'usage' }],
  ['safety.alerts.retrieve', 'GET /safety/alerts/{alert_id}', 'none'],
  ['safety.cases.retrieve', 'GET /safety/cases/{case_id}', 'none'],
];

import { content, created, listed, type Row } from './endpoint.ts';

/** Sessions that a browser or a telephone joins. Their media and events do not pass through these calls. */
export const sessions: readonly Row[] = [
  ['realtime.clientSecrets.create', 'POST /realtime/client_secrets', 'none'],
  ['realtime.translations.clientSecrets.create', 'POST /realtime/translations/client_secrets', 'none'],
  ['realtime.calls.create', 'POST /realtime/calls', 'none', { answer: 'text', rawBody: 'application/sdp' }],
  ['realtime.calls.accept', 'POST /realtime/calls/{call_id}/accept', 'json_optional'],
  ['realtime.calls.hangup', 'POST /realtime/calls/{call_id}/hangup', 'none'],
  ['realtime.calls.refer', 'POST /realtime/calls/{call_id}/refer', 'none'],
  ['realtime.calls.reject', 'POST /realtime/calls/{call_id}/reject', 'none'],
  ['beta.realtime.sessions.create', 'POST /realtime/sessions', 'json_optional', created],
  ['beta.realtime.transcriptionSessions.create', 'POST /realtime/transcription_sessions', 'none', created],
  ['live.create', 'POST /live/sessions', 'none', created],
  ['live.sessions.accept', 'POST /live/sessions/{session_id}/accept', 'none'],
  ['live.sessions.fork', 'POST /live/sessions/{session_id}/fork', 'none', created],
  ['live.sessions.hangup', 'POST /live/sessions/{session_id}/hangup', 'none'],
  ['live.sessions.refer', 'POST /live/sessions/{session_id}/refer', 'none'],
  ['live.sessions.reject', 'POST /live/sessions/{session_id}/reject', 'none'],
  ['live.sessions.downloadRecording', 'GET /live/sessions/{session_id}/content', 'none', content],
  ['beta.chatkit.sessions.create', 'POST /chatkit/sessions', 'none', created],
  ['beta.chatkit.sessions.cancel', 'POST /chatkit/sessions/{session_id}/cancel', 'none'],
  ['beta.chatkit.threads.list', 'GET /chatkit/threads', 'none', listed('user')],
  ['beta.chatkit.threads.retrieve', 'GET /chatkit/threads/{thread_id}', 'none'],
  ['beta.chatkit.threads.delete', 'DELETE /chatkit/threads/{thread_id}', 'none'],
  ['beta.chatkit.threads.listItems', 'GET /chatkit/threads/{thread_id}/items', 'none', listed()],
];

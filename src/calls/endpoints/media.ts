import { content, created, listed, type Row } from './endpoint.ts';

/** Voices, videos and the provenance of content. */
export const media: readonly Row[] = [
  ['audio.voiceConsents.create', 'POST /audio/voice_consents', 'none', created],
  ['audio.voiceConsents.list', 'GET /audio/voice_consents', 'none', listed()],
  ['audio.voiceConsents.retrieve', 'GET /audio/voice_consents/{consent_id}', 'none'],
  ['audio.voiceConsents.update', 'POST /audio/voice_consents/{consent_id}', 'none'],
  ['audio.voiceConsents.delete', 'DELETE /audio/voice_consents/{consent_id}', 'none'],
  ['audio.voices.create', 'POST /audio/voices', 'none', created],
  ['audio.voices.delete', 'DELETE /audio/voices/{voice_id}', 'none'],
  ['videos.create', 'POST /videos', 'form', created],
  ['videos.list', 'GET /videos', 'none', listed()],
  ['videos.retrieve', 'GET /videos/{video_id}', 'none'],
  ['videos.delete', 'DELETE /videos/{video_id}', 'none'],
  ['videos.downloadContent', 'GET /videos/{video_id}/content', 'none', { ...content, query: 'variant' }],
  ['videos.remix', 'POST /videos/{video_id}/remix', 'none', created],
  ['videos.edit', 'POST /videos/edits', 'none', created],
  ['videos.extend', 'POST /videos/extensions', 'none', created],
  ['videos.createCharacter', 'POST /videos/characters', 'none', created],
  ['videos.getCharacter', 'GET /videos/characters/{character_id}', 'none'],
  ['contentProvenanceChecks.create', 'POST /content_provenance_checks', 'none'],
];

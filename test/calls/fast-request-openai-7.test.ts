import OpenAI from 'openai';
import OpenAI7 from 'openai-7';
import { memoryStorage, TeamModelRouter } from 'team-model-router';
import { expect, it, vi } from 'vitest';
import { fastRequestTests } from '../support/fast-request.ts';

// Installs openai 7 in the place of openai 6, as an application does.
vi.mock('openai', () => import('openai-7'));

it('runs with openai 7', () => {
  const router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [{ id: 'k', key: Buffer.alloc(32, 1).toString('base64') }],
  });
  expect(OpenAI).toBe(OpenAI7);
  expect(router.forTeam('acme')).toBeInstanceOf(OpenAI7);
});

fastRequestTests();

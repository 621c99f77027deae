import type { Transport } from '../../egress/transport.ts';
import { RouterError } from '../../errors.ts';
import { addressOf, authHeaders } from '../../providers/provider.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { endpoints } from '../endpoints/match.ts';
import type { Credentials } from './credentials.ts';
import { readTestAnswer, type TestResult, testFailure } from './test-answer.ts';

const timeoutMs = 15_000;
/** An embedding of 4 096 numbers has about 100 000 bytes. */
const readLimit = 262_144;

/** The cheapest call of each mode: a provider that refuses its details has accepted the key and found the deployment. */
const probes: Record<string, { endpoint: string; body: Record<string, unknown> }> = {
  chat: {
    endpoint: 'chat.completions.create',
    body: { messages: [{ role: 'user', content: 'ping' }], max_tokens: 1 },
  },
  completion: { endpoint: 'completions.create', body: { prompt: 'ping', max_tokens: 1 } },
  embedding: { endpoint: 'embeddings.create', body: { input: 'ping' } },
  responses: { endpoint: 'responses.create', body: { input: 'ping', max_output_tokens: 16, store: false } },
  moderation: { endpoint: 'moderations.create', body: { input: 'ping' } },
  // What costs money for each call is asked for something impossible: the refusal tells enough.
  image_generation: { endpoint: 'images.generate', body: { prompt: '' } },
  audio_speech: { endpoint: 'audio.speech.create', body: { input: '', voice: 'alloy' } },
  audio_transcription: { endpoint: 'audio.transcriptions.create', body: {} },
};

/**
 * Makes one call to a deployment and says how it went.
 *
 * @param mayQuote the provider's words may be shown
 */
export async function testDeployment(
  transport: Transport,
  credentials: Credentials,
  deployment: Deployment,
  mayQuote = false,
): Promise<TestResult> {
  const probe = probes[deployment.mode ?? 'chat'];
  const endpoint = endpoints.find(({ id }) => id === probe?.endpoint);
  if (probe === undefined || endpoint === undefined)
    throw new RouterError('internal_error', 'There is no test for this mode.');
  try {
    const response = await credentials.use(deployment, (secrets) =>
      transport.request({
        method: 'POST',
        url: addressOf(deployment.target, endpoint, {}, new URLSearchParams()).url,
        headers: {
          'content-type': 'application/json',
          ...Object.fromEntries(secrets.headers),
          ...authHeaders(deployment.target, secrets, deployment.params),
        },
        body: JSON.stringify({
          ...deployment.params.extra_body,
          ...probe.body,
          model: deployment.target.model,
        }),
        team: deployment.teamId,
        headersTimeoutMs: timeoutMs,
        bodyTimeoutMs: timeoutMs,
      }),
    );
    const { chunks } = await response.body.upTo(readLimit);
    response.body.destroy();
    return readTestAnswer(deployment, response, Buffer.concat(chunks), mayQuote);
  } catch (error) {
    return testFailure(error);
  }
}

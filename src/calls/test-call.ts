import type { Transport } from '../egress/transport.ts';
import { RouterError } from '../errors.ts';
import { addressOf, authHeaders } from '../providers/provider.ts';
import type { Deployment } from '../teams/deployment.ts';
import type { Credentials } from './credentials.ts';
import { endpoints } from './endpoints.ts';

/** How a test call went; never in the other side's words, since a tenant could read a network with them. */
export interface TestResult {
  status:
    | 'ok'
    | 'key_rejected'
    | 'deployment_not_found'
    | 'api_version_rejected'
    | 'unreachable'
    | 'timed_out'
    | 'address_not_allowed';
}

const timeoutMs = 15_000;
const readLimit = 16_384;

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

/** Makes one call to a deployment and says how it went. */
export async function testDeployment(
  transport: Transport,
  credentials: Credentials,
  deployment: Deployment,
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
    return { status: judge(response.status, Buffer.concat(chunks).toString('utf8')) };
  } catch (error) {
    return { status: judgeFailure(error) };
  }
}

function judge(status: number, text: string): TestResult['status'] {
  if (status === 401 || status === 403) return 'key_rejected';
  const version = /api[-_ ]?version/i.test(text);
  if ((status === 400 || status === 404) && version) return 'api_version_rejected';
  if (status === 404) return 'deployment_not_found';
  if (status === 408 || status === 504) return 'timed_out';
  return status >= 500 || (status >= 300 && status < 400) ? 'unreachable' : 'ok';
}

function judgeFailure(error: unknown): TestResult['status'] {
  if (RouterError.isInstance(error) && error.code === 'egress_denied') return 'address_not_allowed';
  if (RouterError.isInstance(error) && error.code === 'provider_timeout') return 'timed_out';
  if (RouterError.isInstance(error) && error.code === 'provider_authentication_failed') return 'key_rejected';
  if (RouterError.isInstance(error) && error.code !== 'provider_unreachable') throw error;
  return 'unreachable';
}

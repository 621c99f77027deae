import type { QueueListener, Transport, TransportResponse } from '../../egress/transport.ts';
import { RouterError } from '../../errors.ts';
import { type EntraPost, requestEntraToken } from '../../providers/entra.ts';
import { TokenCache } from '../../providers/token-cache.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { Secrets } from '../../teams/records/sealed-secrets.ts';
import type { Cancel } from '../abort/cancel.ts';
import { untilAborted } from '../abort/until-aborted.ts';
import { readUpTo } from '../answer.ts';

const repeatable = { isRepeatable: () => true };

const timeoutMs = 15_000;
const tokenLimit = 65_536;

/** A response, and the tokens that the provider was sent, rejected ones included, if they are no stored secrets. */
export type SignedResponse = Signed<TransportResponse>;
export type Signed<Response> = Response & { tokens?: readonly string[] };

/** What a deployment's calls are signed with: its stored secret, or an Entra token that was asked for with it. */
export class Credentials {
  readonly #tokens: TokenCache;
  readonly #transports: { team: Transport; shared: Transport };

  /** @param now milliseconds, monotonic */
  constructor(transports: { team: Transport; shared: Transport }, now: () => number) {
    this.#tokens = new TokenCache(now);
    this.#transports = transports;
  }

  /**
   * Makes one request with the deployment's secrets. If a token is rejected that Entra gave earlier, once more with a
   * new one.
   *
   * @param content whether the request can be made again
   * @param cancel aborts the wait for a token when the attempt ends. The attempt's time limit covers that wait.
   * @throws RouterError what `send` throws, and `credential_unreadable`, `provider_authentication_failed`,
   * `provider_unreachable`, `provider_timeout`
   */
  use<Response extends TransportResponse>(
    deployment: Deployment,
    send: (secrets: Secrets) => Promise<Response>,
    content: { isRepeatable(): boolean } = repeatable,
    cancel?: Cancel,
  ): Promise<Signed<Response>> {
    const secrets = deployment.secrets();
    const clientSecret = entraSecret(deployment, secrets);
    if (clientSecret === undefined) return send(secrets);
    const key = JSON.stringify([deployment.teamId, deployment.id, deployment.secretVersion]);
    const token = async () =>
      untilAborted(
        Promise.resolve(this.#tokens.get(key, () => this.#ask(deployment, clientSecret, cancel))),
        cancel,
      );
    return this.#signed(key, token, (azure_ad_token) => send({ ...secrets, azure_ad_token }), content);
  }

  async #signed<Response extends TransportResponse>(
    key: string,
    token: () => Promise<string>,
    send: (token: string) => Promise<Response>,
    content: { isRepeatable(): boolean },
  ): Promise<Signed<Response>> {
    const first = await token();
    const response = await send(first);
    if (response.status !== 401 || !this.#tokens.reject(key, first) || !content.isRepeatable()) {
      return { ...response, tokens: [first] };
    }
    response.body.destroy();
    const second = await token();
    return { ...(await send(second)), tokens: [first, second] };
  }

  #ask({ teamId, target, params }: Deployment, clientSecret: string, queue: QueueListener | undefined) {
    const transport = teamId === null ? this.#transports.shared : this.#transports.team;
    const { tenant_id: tenantId, client_id: clientId } = params;
    if (tenantId === undefined || clientId === undefined) {
      throw new RouterError(
        'credential_unreadable',
        'A stored client_secret lacks its tenant_id or client_id.',
      );
    }
    return requestEntraToken(
      postVia(transport, teamId, queue),
      { tenantId, clientId, clientSecret },
      target.base,
    );
  }
}

/** Returns the client secret if the deployment authenticates with it. Its own key or token takes precedence. */
function entraSecret({ target }: Deployment, secrets: Secrets): string | undefined {
  const own = secrets.api_key ?? secrets.azure_ad_token;
  return own === undefined && target.protocol !== 'openai' ? secrets.client_secret : undefined;
}

/** A token counts as its deployment's owner's: many teams may wait for the one of a shared deployment. */
function postVia(transport: Transport, team: string | null, queue: QueueListener | undefined): EntraPost {
  return async (url, form) => {
    const { status, body } = await transport.request({
      method: 'POST',
      url,
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: form,
      team,
      queue,
      headersTimeoutMs: timeoutMs,
      bodyTimeoutMs: timeoutMs,
    });
    return { status, text: (await readUpTo(body, tokenLimit)).bytes.toString('utf8') };
  };
}

/** One request of a client's method, as the client sent it. */
export interface ClientCall {
  /** The method, such as `chat.completions.create`. */
  id: string;
  method: string;
  /** Below the base URL, with `a-placeholder` for each parameter. */
  path: string;
  accept: string | null;
  query: string;
}

interface Client {
  new (options: Record<string, unknown>): object;
}

/** Methods that call others of the same client, open a socket, or call nothing, by their ids. */
const helpers = new Set(
  `chat.completions.runTools chat.completions.stream files.waitForProcessing responses.stream
  vectorStores.files.createAndPoll vectorStores.files.poll vectorStores.files.upload vectorStores.files.uploadAndPoll
  vectorStores.fileBatches.createAndPoll vectorStores.fileBatches.poll vectorStores.fileBatches.uploadAndPoll
  webhooks.unwrap webhooks.verifySignature beta.threads.createAndRunPoll beta.threads.createAndRunStream
  beta.threads.runs.createAndPoll beta.threads.runs.createAndStream beta.threads.runs.poll beta.threads.runs.stream
  beta.threads.runs.submitToolOutputsAndPoll beta.threads.runs.submitToolOutputsStream
  beta.agents.environments.files.prepare beta.agents.environments.files.upload beta.agents.sessions.artifacts.forResult
  beta.agents.sessions.stream`.split(/\s+/),
);

/** Any parameter of a path that the method takes from its parameters, and nothing of a body. */
const parameters = (): object =>
  new Proxy(
    {},
    {
      get: (_, key) =>
        typeof key === 'string' && /(_id|_checkpoint|^version)$/.test(key) ? 'a-placeholder' : undefined,
    },
  );

const placeholder = 'a-placeholder';
const argumentLists = (): unknown[][] => [
  [parameters()],
  [placeholder, parameters()],
  [placeholder, placeholder, parameters()],
];

/**
 * Calls every method of every resource of a client, and returns what each sent. The methods that send nothing are
 * `silent`, so that none is missed because its arguments have changed.
 */
export async function clientCalls(OpenAI: unknown): Promise<{ calls: ClientCall[]; silent: string[] }> {
  const calls: ClientCall[] = [];
  let current = '';
  const record = async (url: string | URL, init: RequestInit): Promise<Response> => {
    const { pathname, search } = new URL(url);
    const { method = 'GET', headers } = init;
    const path = pathname.replace(/^\/v1/, '');
    const accept = new Headers(headers).get('accept');
    calls.push({ id: current, method, path, accept, query: search });
    return new Response('{"id":"x","data":[],"status":"completed"}', {
      headers: { 'content-type': 'application/json' },
    });
  };
  const client = new (OpenAI as Client)({
    apiKey: 'key',
    adminAPIKey: 'admin',
    webhookSecret: 'secret',
    baseURL: 'https://client.invalid/v1',
    maxRetries: 0,
    fetch: record,
  });
  const silent: string[] = [];
  for (const [path, resource] of resourcesOf(client, [])) {
    for (const name of methodsOf(resource)) {
      current = [...path, name].join('.');
      if (helpers.has(current)) continue;
      const before = calls.length;
      for (const list of argumentLists()) {
        const method = resource[name] as (...list: unknown[]) => unknown;
        await Promise.resolve()
          .then(() => method.apply(resource, list))
          .catch(() => {});
        if (calls.length > before) break;
      }
      if (calls.length === before) silent.push(current);
    }
  }
  return { calls, silent };
}

type Resource = Record<string, unknown>;

function resourcesOf(node: object, path: readonly string[]): [path: readonly string[], resource: Resource][] {
  return Object.entries(node).flatMap(([key, value]) => {
    if (key.startsWith('_') || typeof value !== 'object' || value === null || !('_client' in value))
      return [];
    const below = [...path, key];
    return [[below, value as Resource], ...resourcesOf(value, below)];
  });
}

function methodsOf(resource: Resource): string[] {
  const names = new Set<string>();
  for (
    let type = Object.getPrototypeOf(resource);
    type !== Object.prototype;
    type = Object.getPrototypeOf(type)
  )
    for (const name of Object.getOwnPropertyNames(type))
      if (name !== 'constructor' && !name.startsWith('_') && typeof resource[name] === 'function')
        names.add(name);
  return [...names];
}

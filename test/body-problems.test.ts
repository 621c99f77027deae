import { generateEncryptionKey, isRouterError, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { masterKey, send } from './support/gateway.ts';

let router: TeamModelRouter;
beforeEach(() => {
  router = new TeamModelRouter({ storage: memoryStorage(), encryptionKeys: [generateEncryptionKey()] });
});
afterEach(() => router.close({ drainTimeoutMs: 0 }));

const params = { model: 'openai/gpt-4o', api_key: 'sk-0123456789abcdef' };

async function told(call: () => unknown): Promise<{ param: string | null; message: string }> {
  try {
    await call();
  } catch (error) {
    if (!isRouterError(error)) throw error;
    expect(error.code).toBe('invalid_request');
    return { param: error.param ?? null, message: error.message };
  }
  return expect.unreachable('it was taken');
}

/** Each is told once. */
function expectEach(message: string, fields: readonly string[]): void {
  for (const field of fields) {
    const times = message
      .split(/(?<=[.?]) /)
      .filter((sentence) => sentence.includes(`${field}:`) || sentence.includes(`field ${field}.`));
    expect(times.length, `${field} in ${message}`).toBe(1);
  }
}

describe('reports all problems of a body in one error', () => {
  const bad = {
    litellm_params: {
      modle: 'gpt-4o',
      api_key: 'Bearer sk-0123456789abcdef',
      api_base: 'example.com',
      custom_llm_provider: 'opnai',
      timeout: 30000,
      stream_timeout: '5s',
      organization: 'org\u200b',
      extra_headers: { 'x-own': 'a\n' },
      colour: 'red',
    },
    model_info: { mode: 'chats', team_id: 'globex', shape: 'round' },
    taste: 'sweet',
  };
  const fields = [
    'model_name',
    'litellm_params.modle',
    'litellm_params.api_key',
    'litellm_params.timeout',
    'litellm_params.stream_timeout',
    'litellm_params.organization',
    'litellm_params.extra_headers',
    'litellm_params.colour',
    'model_info.mode',
    'model_info.shape',
    'taste',
  ];
  const addresses = [/litellm_params\.api_base: must be a URL/, /custom_llm_provider: is unknown/];

  it('of a new model, its address and its team among them', async () => {
    const { param, message } = await told(() => router.addModel('acme', bad as never));
    expect(param).toBe('model_name');
    expectEach(message, [...fields, 'model_info.team_id']);
    for (const address of addresses) expect(message).toMatch(address);
    expect(message).not.toContain('0123456789abcdef');
    expect((await router.listModels('acme')).data).toEqual([]);
  });

  it('of a new model over HTTP, and of one that is tested', async () => {
    const gateway = createGateway(router, { masterKey });
    for (const line of ['POST /model/new', 'POST /health/test_connection']) {
      const { status, json } = await send(gateway, line, { key: masterKey, body: bad });
      expect(status).toBe(400);
      const { message } = (json as { error: { message: string } }).error;
      // A model to try needs no name.
      expectEach(message, line.startsWith('POST /model') ? fields : fields.slice(1));
      for (const address of addresses) expect(message).toMatch(address);
    }
  });

  it('of a change', async () => {
    const { model_id } = await router.addModel('acme', { model_name: 'm', litellm_params: params });
    const gateway = createGateway(router, { masterKey });
    const changed = fields.filter((field) => field !== 'model_name');
    const inProcess = await told(() => router.updateModel('acme', model_id, bad as never));
    const { json } = await send(gateway, `PATCH /model/${model_id}/update`, { key: masterKey, body: bad });
    for (const message of [inProcess.message, (json as { error: { message: string } }).error.message]) {
      expectEach(message, changed);
      for (const address of addresses) expect(message).toMatch(address);
    }
  });

  it('of an address whose fields are well-formed each', async () => {
    const body = {
      model_name: 'm',
      litellm_params: { ...params, custom_llm_provider: 'opnai', api_base: 'https://user@example.com' },
    };
    const { message } = await told(() => router.addModel('acme', body));
    expect(message).toMatch(/custom_llm_provider: is unknown.*api_base: must not contain credentials/s);
  });

  it('of a team, a key, an allow-list, a client, a router and a gateway', async () => {
    const { token } = await router.createKey('acme');
    const expected: [() => unknown, string[]][] = [
      [
        () =>
          router.createTeam({
            team_alias: 1,
            models: ['a*'],
            blokked: true,
            settings: { timeout: 30000, colour: 1 },
          } as never),
        ['team_alias', 'models[0]', 'blokked', 'settings.timeout', 'settings.colour'],
      ],
      [
        () =>
          router.updateTeam('acme', {
            team_alias: 1,
            metadata: 7,
            settings: { cooldown_time: 5000 },
          } as never),
        ['team_alias', 'metadata', 'settings.cooldown_time'],
      ],
      [
        () =>
          router.createKey('acme', {
            key_type: 'all',
            duration: '1y',
            models: ['gpt-*'],
            colour: 1,
          } as never),
        ['key_type', 'duration', 'models[0]', 'colour'],
      ],
      [
        () => router.updateKey('acme', token, { key_alias: 1, duration: '1y', colour: 1 } as never),
        ['key_alias', 'duration', 'colour'],
      ],
      [() => router.allowSharedModels('acme', ['gpt-*', 'x*'] as never), ['add[0]']],
      [
        () => router.forTeam('acme', { defaultModel: 1, timeout: '5', maxRetries: -1, colour: 1 } as never),
        ['defaultModel', 'timeout', 'maxRetries', 'colour'],
      ],
      [
        () => new TeamModelRouter({ storage: 'redis://x', maxTeams: -1, egres: {} } as never),
        ['storage', 'encryptionKeys', 'maxTeams', 'egres'],
      ],
      [
        () => createGateway(router, { masterKey: 'short', bodyLimit: 0, autenticate: 1 } as never),
        ['masterKey', 'bodyLimit', 'autenticate'],
      ],
    ];
    for (const [call, each] of expected) expectEach((await told(call)).message, each);
  });

  it('of twenty fields at most, and how many more there are', async () => {
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`field${at}`, 1]));
    const { message } = await told(() => router.createTeam(many));
    expect(message.match(/Unknown field/g)).toHaveLength(20);
    expect(message).toMatch(/ 19980 more problems\.$/);
  });
});

describe('seconds', () => {
  const doors: [name: string, most: number, send: (value: number) => Promise<unknown>][] = [
    ...['timeout', 'stream_timeout'].flatMap((field): typeof doors => [
      [
        `litellm_params.${field}`,
        7200,
        (value) =>
          router.addModel('acme', { model_name: 'm', litellm_params: { ...params, [field]: value } }),
      ],
    ]),
    ['settings.timeout', 7200, (timeout) => router.updateTeam('acme', { settings: { timeout } })],
    [
      'settings.cooldown_time',
      3600,
      (cooldown_time) => router.updateTeam('acme', { settings: { cooldown_time } }),
    ],
  ];

  it.each(doors)('in %s are refused where milliseconds were meant', async (field, most, send) => {
    await router.createKey('acme');
    for (const [value, hint] of [
      [30_000, 30],
      [10_000, 10],
      [60_500, 60.5],
    ] as const) {
      const { param, message } = await told(() => send(value));
      expect({ param, message }).toEqual({
        param: field,
        message: `${field}: must be seconds, at most ${most}. If milliseconds were meant, write ${hint}.`,
      });
    }
    for (const value of ['30', '30s', Number.NaN, -1])
      expect((await told(() => send(value as number))).param).toBe(field);
    await send(most);
    await send(0.5);
  });

  it.each(['timeout', 'stream_timeout'])(
    'as %s in a body, and in a header, are refused alike',
    async (field) => {
      await router.addModel('acme', { model_name: 'm', litellm_params: params });
      const fetch = router.fetchFor('acme');
      const headers = { 'content-type': 'application/json' };
      const body = { model: 'm', messages: [{ role: 'user', content: 'x' }] };
      const inBody = await fetch('/v1/chat/completions', {
        method: 'POST',
        headers,
        body: JSON.stringify({ ...body, [field]: 30_000 }),
      });
      expect(inBody.status).toBe(400);
      expect(await inBody.json()).toMatchObject({
        error: { param: field, message: expect.stringContaining('divided by 1000') },
      });
      const inHeader = await fetch('/v1/chat/completions', {
        method: 'POST',
        headers: { ...headers, 'x-litellm-timeout': '30000' },
        body: JSON.stringify(body),
      });
      expect(inHeader.status).toBe(400);
      expect(await inHeader.json()).toMatchObject({
        error: { param: 'x-litellm-timeout', message: expect.stringContaining('write 30') },
      });
    },
  );
});

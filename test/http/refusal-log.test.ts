import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { expect, it } from 'vitest';
import { RouterError } from '../../src/errors.ts';
import { RefusalLog } from '../../src/http/auth/refusal-log.ts';
import { Log } from '../../src/logger.ts';

interface Line {
  message: string;
  fields: Record<string, unknown>;
}

function collector() {
  const lines: Line[] = [];
  const write = (fields: object, message: string) => lines.push({ message, fields: { ...fields } });
  return { lines, logger: { info: write, warn: write, error: write } };
}

const turn = () => new Promise(setImmediate);

it('a flood of failed authentication is ten lines a minute, and the next line counts the rest', async () => {
  const { lines, logger } = collector();
  let now = 0;
  const log = new RefusalLog(new Log(logger), () => now);
  for (let each = 0; each < 100_000; each++) log.note(new RouterError('invalid_api_key', 'no'));
  now = 60_000;
  log.note(new RouterError('key_blocked', 'no'));
  await turn();
  expect(lines).toHaveLength(11);
  expect(lines[10]).toEqual({
    message: 'authentication failed',
    fields: { code: 'key_blocked', suppressed: 99_990 },
  });
});

it('other errors are no line', async () => {
  const { lines, logger } = collector();
  const log = new RefusalLog(new Log(logger));
  for (const error of [new RouterError('model_not_found', 'no'), new Error('no'), 'no', undefined])
    log.note(error);
  await turn();
  expect(lines).toEqual([]);
});

it('the gateway logs a wrong key, a missing one, and a refused address with the operator’s hint', async () => {
  const { lines, logger } = collector();
  const router = new TeamModelRouter({ storage: memoryStorage(), encryptionKeys: [generateEncryptionKey()] });
  const { key } = await router.createKey('acme');
  const gateway = createGateway(router, { masterKey: 'm'.repeat(32), logger });
  const post = async (authorization: Record<string, string>, body: object) => {
    const headers = { 'content-type': 'application/json', ...authorization };
    const request = new Request('http://gateway.test/model/new', {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    });
    return (await gateway.fetch(request)).text();
  };
  await post({ authorization: `Bearer sk-${'x'.repeat(43)}` }, {});
  await post({}, {});
  const refused = await post(
    { authorization: `Bearer ${key}` },
    {
      model_name: 'm',
      litellm_params: { model: 'openai/m', api_key: 'sk-0123456789', api_base: 'https://10.0.0.1/v1' },
    },
  );
  await turn();
  expect(lines.map(({ message, fields }) => [message, fields.code])).toEqual([
    ['authentication failed', 'invalid_api_key'],
    ['authentication failed', 'invalid_api_key'],
    ['address not allowed', 'api_base_not_allowed'],
  ]);
  expect(refused).not.toMatch(/--egress-allow|egress\.allow/);
  expect(String(lines[2]?.fields.hint)).toContain('--egress-allow');
  expect(JSON.stringify(lines)).not.toContain('xxxx');
  await router.close();
});

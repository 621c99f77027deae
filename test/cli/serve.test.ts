import { exec } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type EncryptionKey, generateEncryptionKey } from 'team-model-router';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { chatChunks, type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';
import { type ServeProcess, startCommand } from '../support/serve-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const newPath = temporaryFolder();
const running: ServeProcess[] = [];

function serve(data: string, environment: Record<string, string> = {}, more: string[] = []): ServeProcess {
  const started = startCommand(['serve', '--port', '0', '--data', data, ...more], environment);
  running.push(started);
  return started;
}

async function stop(started: ServeProcess): Promise<number | null> {
  started.child.kill('SIGTERM');
  return started.ended;
}

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
const masterKeyOf = (data: string) => readFileSync(join(data, 'master-key'), 'utf8').trim();

const lineWith = (started: ServeProcess, text: string) =>
  JSON.parse(
    started
      .output()
      .split('\n')
      .find((line) => line.startsWith('{') && line.includes(text)) ?? '',
  );

/** Nobody listens there. */
const nowhere = 'http://127.0.0.1:1';
const gone = {
  model_name: 'gone',
  litellm_params: { model: 'm', api_base: nowhere, num_retries: 0 },
};
const callGone = { model: 'gone', messages: [] };

async function post(url: string, key: string, path: string, body: unknown): Promise<Response> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  return fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
}

afterEach(async () => {
  for (const started of running.splice(0)) {
    started.child.kill('SIGKILL');
    await started.ended;
  }
});

describe('team-model-router serve', () => {
  it('makes a private folder and its keys on the first start, shows where they are, and never what they are', async () => {
    const data = newPath('data');
    const started = serve(data);
    const url = await started.listening;
    await started.printed('/key/generate');
    expect(mode(data)).toBe('700');
    for (const name of ['encryption-keys', 'master-key', 'models.sqlite']) {
      expect(mode(join(data, name)), name).toBe('600');
      expect(started.output()).toContain(join(data, name));
    }
    const secrets = [
      masterKeyOf(data),
      readFileSync(join(data, 'encryption-keys'), 'utf8').trim().split(':')[1] ?? '',
    ];
    for (const secret of secrets) expect(started.output()).not.toContain(secret);
    expect((await fetch(`${url}/health/readiness`)).status).toBe(200);
    expect((await fetch(`${url}/openapi.json`)).status).toBe(200);
    expect((await post(url, masterKeyOf(data), '/team/new', { team_id: 'acme' })).status).toBe(200);
    expect(await stop(started)).toBe(0);
    expect(
      readdirSync(data)
        .filter((name) => !name.startsWith('models.sqlite'))
        .sort(),
    ).toEqual(['encryption-keys', 'master-key']);

    const again = serve(data);
    const response = await post(await again.listening, masterKeyOf(data), '/team/new', { team_id: 'acme' });
    expect(response.status).toBe(409);
    expect(again.output()).not.toContain('(created');
  });

  it('with data and without an encryption key it does not start, and makes none', async () => {
    const data = newPath('data');
    const first = serve(data);
    await first.listening;
    await stop(first);
    rmSync(join(data, 'encryption-keys'));
    const second = serve(data);
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain('no encryption key');
    expect(readdirSync(data)).not.toContain('encryption-keys');
  });

  it('two concurrent starts in one folder use the same keys', async () => {
    const data = newPath('data');
    const both = [serve(data), serve(data)];
    const urls = await Promise.all(both.map(({ listening }) => listening));
    const key = masterKeyOf(data);
    expect((await post(urls[0] ?? '', key, '/team/new', { team_id: 'acme' })).status).toBe(200);
    const { key: teamKey } = (await (
      await post(urls[1] ?? '', key, '/key/generate', { team_id: 'acme' })
    ).json()) as {
      key: string;
    };
    const list = await fetch(`${urls[0]}/v1/models`, { headers: { authorization: `Bearer ${teamKey}` } });
    expect(list.status).toBe(200);
    expect(readdirSync(data).filter((name) => /-key(s)?\./.test(name))).toEqual([]);
  });

  it.each([
    ['id:key', ({ id, key }: EncryptionKey) => `${id}:${key}`],
    ['JSON', (key: EncryptionKey) => JSON.stringify([key])],
  ])('keys from the environment, as %s, are used, and leave no file', async (_, written) => {
    const data = newPath('data');
    const { id, key } = generateEncryptionKey();
    const masterKey = 'm'.repeat(40);
    const started = serve(data, { TMR_MASTER_KEY: masterKey, TMR_ENCRYPTION_KEYS: written({ id, key }) });
    const url = await started.listening;
    expect((await post(url, masterKey, '/team/new', {})).status).toBe(200);
    expect(readdirSync(data).filter((name) => !name.startsWith('models.sqlite'))).toEqual([]);
    expect(started.output()).not.toContain(masterKey);
    expect(started.output()).not.toContain(key);
  });

  it.each([
    [{ TMR_MASTER_KEY: 'too-short' }, 'masterKey'],
    [{ TMR_ENCRYPTION_KEYS: 'no-colon' }, 'TMR_ENCRYPTION_KEYS'],
    [{ TMR_ENCRYPTION_KEYS: 'k:dG9vIHNob3J0' }, 'encryptionKeys[0].key'],
    [{ TMR_ENCRYPTION_KEYS: '[{"id":"k","key":"dG9vIHNob3J0"}]' }, 'encryptionKeys[0].key'],
    [{ TMR_ENCRYPTION_KEYS: '[dG9vIHNob3J0' }, 'TMR_ENCRYPTION_KEYS'],
  ])('%j does not start, and says why without the value', async (environment, named) => {
    const started = serve(newPath('data'), environment as unknown as Record<string, string>);
    expect(await started.ended).toBe(1);
    expect(started.output()).toContain(named);
    expect(started.output()).not.toContain('dG9vIHNob3J0');
    expect(started.output()).not.toContain('too-short');
    expect(started.output()).not.toMatch(/\n {4}at /);
  });

  it('with another encryption key it starts, and says that what is stored does not open', async () => {
    const data = newPath('data');
    const first = serve(data);
    const url = await first.listening;
    const master = masterKeyOf(data);
    await post(url, master, '/team/new', { team_id: 'acme' });
    const litellm_params = { model: 'openai/gpt-4o', api_key: 'sk-0123456789abcdef' };
    const body = { model_name: 'm', litellm_params, model_info: { id: 'its-id', team_id: 'acme' } };
    expect((await post(url, master, '/model/new', body)).status).toBe(200);
    await stop(first);
    const { id, key } = generateEncryptionKey();
    const second = serve(data, { TMR_ENCRYPTION_KEYS: `${id}:${key}` });
    await second.printed('cannot be decrypted');
    expect(lineWith(second, 'cannot be decrypted')).toMatchObject({
      level: 'warn',
      teamId: 'acme',
      deploymentId: 'its-id',
    });
    await stop(second);
    const third = serve(data);
    await third.listening;
    expect(await stop(third)).toBe(0);
    expect(third.output()).not.toContain('cannot be decrypted');
  });

  it.each([
    [
      ['--egress-allow', 'no host'],
      /^egress\.allow\[0\]: .* "no host" \(from --egress-allow, TMR_EGRESS_ALLOW\)\./,
    ],
    [['--egress-allow', 'http://'], /^egress\.allow\[0\]: .* \(from --egress-allow, TMR_EGRESS_ALLOW\)\./],
    [['--host', '256.0.0.1'], /^256\.0\.0\.1 is neither an IP address .* --host or TMR_HOST/],
    [['--host', '192.0.2.1'], /^192\.0\.2\.1.* is not an address of this machine\. .* --host or TMR_HOST/],
  ])('%j is refused in one line, with the code of a wrong command line', async (more, line) => {
    const started = serve(newPath('data'), {}, more);
    expect(await started.ended).toBe(2);
    expect(started.output()).toMatch(line);
    expect(started.output().trim().split('\n')).toHaveLength(1);
  });

  it('says its version', async () => {
    const started = startCommand(['--version']);
    expect(await started.ended).toBe(0);
    expect(started.output()).toBe(`${JSON.parse(readFileSync('package.json', 'utf8')).version}\n`);
  });

  it('a port that is taken is said, and ends it', async () => {
    const first = serve(newPath('data'));
    const port = new URL(await first.listening).port;
    const second = startCommand(['serve', '--port', port, '--data', newPath('data')]);
    running.push(second);
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain('EADDRINUSE');
  });
});

it('a first start that failed hid the instructions of the next', async () => {
  const taken = serve(newPath('data'));
  const port = new URL(await taken.listening).port;
  const data = newPath('data');
  const failed = startCommand(['serve', '--port', port, '--data', data]);
  expect(await failed.ended).toBe(1);
  expect(failed.output()).not.toContain('curl');
  const next = serve(data);
  const url = await next.listening;
  await next.printed('/v1/chat/completions');
  expect(next.output()).toContain(`${join(data, 'encryption-keys')} (keep a copy)`);
  expect(next.output()).toContain(`${join(data, 'master-key')} (keep a copy)`);
  expect((await post(url, masterKeyOf(data), '/team/new', { team_id: 'acme' })).status).toBe(200);
  await stop(next);
  const third = serve(data);
  await third.printed('Master key:');
  expect(await stop(third)).toBe(0);
  expect(third.output()).not.toContain('curl');
  expect(third.output()).not.toContain('keep a copy');
});

it('the commands that it prints make a team, a key and a model; what fails is a line of JSON', async () => {
  const data = newPath('data');
  const started = serve(data, {}, ['--egress-allow', nowhere]);
  const url = await started.listening;
  await started.printed('/v1/chat/completions');
  const commands = started.output().match(/curl .*/g) ?? [];
  expect(commands).toHaveLength(4);
  const shell = async (command = '', environment = {}) => {
    const options = { env: { ...process.env, ...environment } };
    return JSON.parse((await promisify(exec)(command.replace('curl', 'curl -sSf'), options)).stdout);
  };
  expect(await shell(commands[0])).toMatchObject({ team_id: 'acme' });
  const { key: TEAM_KEY } = (await shell(commands[1])) as { key: string };
  await expect(shell(commands[2], { TEAM_KEY })).rejects.toThrow('400');
  expect(await shell(commands[2], { TEAM_KEY, PROVIDER_KEY: 'sk-0123456789abcdef0123' })).toMatchObject({
    litellm_params: { model: 'openai/gpt-4o', api_key: 'sk-...0123' },
  });
  expect(commands[3]).toContain('"model": "my-team-model"');

  expect((await post(url, TEAM_KEY, '/model/new', gone)).status).toBe(200);
  expect((await post(url, TEAM_KEY, '/v1/chat/completions', callGone)).status).toBe(502);
  await started.printed('call failed');
  expect(lineWith(started, 'call failed')).toMatchObject({
    level: 'warn',
    teamId: 'acme',
    code: 'provider_unreachable',
  });
});

it('continues when its output pipe is closed', async () => {
  const data = newPath('data');
  const started = serve(data, {}, ['--egress-allow', nowhere]);
  const url = await started.listening;
  const master = masterKeyOf(data);
  expect((await post(url, master, '/model/new', gone)).status).toBe(200);
  started.child.stdout?.destroy();
  started.child.stderr?.destroy();
  for (let count = 0; count < 3; count++)
    expect((await post(url, master, '/v1/chat/completions', callGone)).status).toBe(502);
  expect((await fetch(`${url}/health/liveness`)).status).toBe(200);
});

describe('SIGTERM', () => {
  let provider: RecordingProvider;
  let finish: () => void = () => {};

  beforeAll(async () => {
    provider = await recordingProvider((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const [first, ...rest] = chatChunks('m');
      response.write(`data: ${JSON.stringify(first)}\n\n`);
      finish = () => {
        for (const chunk of rest) response.write(`data: ${JSON.stringify(chunk)}\n\n`);
        response.end('data: [DONE]\n\n');
      };
    });
  });

  afterAll(() => provider.close());

  async function openStream(more: string[] = []) {
    const data = newPath('data');
    const started = serve(data, {}, ['--egress-allow', provider.url, ...more]);
    const url = await started.listening;
    const master = masterKeyOf(data);
    await post(url, master, '/team/new', { team_id: 'acme' });
    const { key } = (await (await post(url, master, '/key/generate', { team_id: 'acme' })).json()) as {
      key: string;
    };
    const litellm_params = { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', api_base: provider.url };
    expect((await post(url, key, '/model/new', { model_name: 'm', litellm_params })).status).toBe(200);
    const answer = await post(url, key, '/v1/chat/completions', { model: 'm', messages: [], stream: true });
    const reader = answer.body?.getReader();
    const begun = new TextDecoder().decode((await reader?.read())?.value);
    return { started, url, reader, begun };
  }

  it('readiness turns 503, the open stream ends whole, and then the process', async () => {
    const { started, url, reader, begun } = await openStream();
    let text = begun;
    started.child.kill('SIGTERM');
    await started.printed('Shutting down');
    const ready = await fetch(`${url}/health/readiness`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ status: 'draining', error: { code: 'draining' } });
    finish();
    for (;;) {
      const next = await reader?.read();
      if (next === undefined || next.done) break;
      text += new TextDecoder().decode(next.value);
    }
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(await started.ended).toBe(0);
  });

  it('an open stream was cut off without a word at the deadline: an error event ends it', async () => {
    const { started, reader, begun } = await openStream(['--drain-timeout', '0']);
    let text = begun;
    started.child.kill('SIGTERM');
    const broken = async () => {
      for (;;) {
        const next = await reader?.read();
        if (next === undefined || next.done) return;
        text += new TextDecoder().decode(next.value);
      }
    };
    await expect(broken()).rejects.toThrow();
    expect(text).toMatch(/\n\ndata: \{"error":\{.*"code":"draining"\}\}\n\n$/);
    expect(await started.ended).toBe(0);
    expect(started.output()).not.toContain('cools down');
    expect(lineWith(started, 'call failed')).toMatchObject({ code: 'draining' });
  });

  it('a second signal ends the process without waiting for the open stream', async () => {
    const { started, reader } = await openStream(['--drain-timeout', '86400']);
    const left = reader?.closed.catch(() => {});
    started.child.kill('SIGTERM');
    await started.printed('Shutting down');
    started.child.kill('SIGTERM');
    expect(await started.ended).toBe(1);
    await left;
  });
});

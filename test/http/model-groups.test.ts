import { beforeAll, describe, expect, it } from 'vitest';
import { gatewayFixture, masterKey, outcome, send } from '../support/gateway.ts';

const house = gatewayFixture({ egress: { allow: ['llm.example'], allowShared: ['llm.example'] } });
const { router } = house;
const keys: Record<string, string> = { master: masterKey };

const secrets = { api_key: 'key-of-nobody-else', api_base: 'https://llm.example/v1' };
const limits = { rpm: 10, tpm: 1000, input_cost_per_token: 0.001, output_cost_per_token: 0.002 };

beforeAll(async () => {
  const add = async (team: string | null, model_name: string, params: object, info: object = {}) => {
    const body = {
      model_name,
      litellm_params: { model: 'openai/m', ...secrets, ...params },
      model_info: info,
    };
    return team === null ? router.addSharedModel(body) : router.addModel(team, body);
  };
  await add('acme', 'chat', limits, { mode: 'chat', description: 'the fast one' });
  await add('acme', 'chat', { ...limits, rpm: 5, input_cost_per_token: 0.003 }, { mode: 'chat' });
  await add('acme', 'mixed', { model: 'groq/m' }, { mode: 'chat' });
  await add('acme', 'mixed', {}, { mode: 'embedding' });
  await add('acme', 'common', {}, { mode: 'embedding' });
  await add('globex', 'theirs', limits, { description: 'a secret plan' });
  await add(null, 'common', limits, { mode: 'chat', description: 'for the operator' });
  await add(null, 'allowed', limits, { mode: 'chat', description: 'for the operator' });
  await add(null, 'other', limits);
  await router.updateTeam('acme', { models: ['common', 'allowed'] });
  await router.updateTeam('globex', { models: ['all-proxy-models'] });
  const keyOf = async (team: string, body = {}) => (await router.createKey(team, body)).key;
  keys.acme = await keyOf('acme');
  keys.globex = await keyOf('globex');
  keys.some = await keyOf('acme', { models: ['mixed', 'allowed', 'theirs', 'other'] });
  keys.none = await keyOf('acme', { models: [] });
  keys.calls = await keyOf('acme', { key_type: 'llm_api' });
});

const ask = (who: string, query = '') =>
  send(house.gateway, `GET /model_group/info${query}`, { key: keys[who] });

const unknown = {
  description: null,
  input_cost_per_token: null,
  output_cost_per_token: null,
  rpm: null,
  tpm: null,
};

describe('GET /model_group/info', () => {
  it('shows what is known of each name that a team may use, of shared ones not what is the operator’s', async () => {
    expect((await ask('acme')).json).toEqual({
      data: [
        {
          model_group: 'chat',
          providers: ['openai'],
          mode: 'chat',
          description: 'the fast one',
          input_cost_per_token: 0.003,
          output_cost_per_token: 0.002,
          rpm: 15,
          tpm: 2000,
        },
        { model_group: 'mixed', providers: ['groq', 'openai'], mode: null, ...unknown },
        { model_group: 'common', providers: ['openai'], mode: 'embedding', ...unknown },
        { model_group: 'allowed', providers: ['openai'], mode: 'chat', ...unknown },
      ],
      total_count: 4,
    });
  });

  it.each([
    ['acme', ['chat', 'mixed', 'common', 'allowed']],
    ['globex', ['theirs', 'common', 'allowed', 'other']],
    ['some', ['mixed', 'allowed']],
    ['none', []],
    ['master', ['common', 'allowed', 'other']],
  ])('has for %s the names of /v1/models, and these alone', async (who, names) => {
    const answer = await ask(who);
    const { data } = answer.json as { data: { model_group: string }[] };
    expect(data.map(({ model_group }) => model_group)).toEqual(names);
    const models = await send(house.gateway, 'GET /v1/models', { key: keys[who] });
    expect((models.json as { data: { id: string }[] }).data.map(({ id }) => id)).toEqual(names);
    expect(answer.text).not.toMatch(/key-of-nobody|llm\.example|model_name_/);
    if (who !== 'globex') expect(answer.text).not.toContain('theirs');
    if (who !== 'master') expect(answer.text).not.toContain('for the operator');
  });

  it('returns one of them, and for any other name the error of an unknown name', async () => {
    expect((await ask('acme', '?model_group=mixed')).json).toMatchObject({
      data: [{ model_group: 'mixed' }],
    });
    for (const [who, name] of [
      ['acme', 'theirs'],
      ['acme', 'other'],
      ['some', 'chat'],
      ['none', 'chat'],
      ['master', 'chat'],
    ]) {
      const answer = await ask(who ?? '', `?model_group=${name}`);
      expect(outcome(answer)).toBe('404 model_not_found');
      const nobodys = await ask(who ?? '', '?model_group=nobodys');
      expect(answer.text.replaceAll(String(name), 'nobodys')).toBe(nobodys.text);
    }
  });

  it('is refused to a key that may only call', async () => {
    expect(outcome(await ask('calls'))).toBe('403 permission_denied');
  });
});

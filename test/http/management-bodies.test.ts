import { memoryStorage } from 'team-model-router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayFixture, gatewayFixture, masterKey, outcome, send } from '../support/gateway.ts';

// What a management body may be made of, before it is parsed.

let house: GatewayFixture;

beforeAll(() => {
  house = gatewayFixture({ storage: memoryStorage() });
});
afterAll(() => house.router.close({ drainTimeoutMs: 0 }));

const post = (line: string, body: string) =>
  send(house.gateway, line, { key: masterKey, body, headers: { 'content-type': 'application/json' } });

const lines = [
  'POST /model/new',
  'POST /team/new',
  'POST /key/generate',
  'POST /team/update',
  'POST /model/delete',
];

describe.each(lines)('%s', (line) => {
  it.each([
    ['nesting without an end', '['.repeat(1_000_000)],
    ['65 levels', `{"metadata":${'['.repeat(64)}1${']'.repeat(64)}}`],
    ['65 levels of objects', `{"metadata":${'{"a":'.repeat(64)}1${'}'.repeat(64)}}`],
    [
      'short keys by the hundred thousand',
      `{${Array.from({ length: 100_000 }, (_, at) => `"${at}":0`).join(',')}}`,
    ],
    ['one key again and again', `{"metadata":{${'"a":0,'.repeat(100_000)}"a":0}}`],
  ])('refuses %s', async (_, body) => {
    const answer = await post(line, body);
    expect(outcome(answer)).toBe('400 invalid_request');
    expect(answer.text).toMatch(/more than (64 levels|20000 keys)/);
  });

  it.each(['', '{', '{"a":}', '{"a":1,}', "{'a':1}", '{"a":NaN}', '{"a":"\n"}', '{} {}'])(
    'refuses what is no JSON: %j',
    async (body) => {
      expect(outcome(await post(line, body))).toBe('400 invalid_request');
    },
  );
});

it('metadata of 100 000 empty lists is refused, in-process too, and 32 levels are taken', async () => {
  const wide = { a: Array.from({ length: 100_000 }, () => []) };
  await expect(house.router.createTeam({ team_id: 'wide', metadata: wide })).rejects.toMatchObject({
    code: 'invalid_request',
    param: 'metadata',
  });
  const deep = JSON.parse(`{"a":${'['.repeat(30)}1${']'.repeat(30)}}`) as Record<string, unknown>;
  expect((await house.router.createTeam({ team_id: 'deep', metadata: deep })).metadata).toEqual(deep);
});

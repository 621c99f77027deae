/** Attacks by which one team takes from the others what they share: connections, look-ups, a shared deployment. */
import type { Arena } from './hostile-arena.ts';
import type { Listed } from './hostile-attacks.ts';

const body = '{"model":"model","messages":[]}';
const streaming = '{"model":"model","messages":[],"stream":true}';

/** Streams that never end, at the origin that the honest team's provider has too. */
async function connections(arena: Arena): Promise<string> {
  await arena.model('hostile', 'model', 'silent');
  const key = await arena.key('hostile');
  for (let at = 0; at < 300; at++) {
    const socket = await arena.socket();
    socket.resume();
    socket.write(arena.head(key, streaming.length) + streaming);
  }
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const other = await arena.key('honest');
  const answered = arena.chat(other, body).then(({ status }) => `answered ${status}`);
  const late = new Promise<string>((resolve) => setTimeout(() => resolve('not answered in 5 s'), 5_000));
  return `another team's call ${await Promise.race([answered, late])}; ${arena.requests.get('silent')} streams open`;
}

/** Names under a top-level domain that no server answers for. */
async function lookUps(arena: Arena): Promise<string> {
  const key = await arena.key('hostile');
  for (let at = 0; at < 8; at++) {
    await arena.model('hostile', `model ${at}`, '', { api_base: `https://slow-${at}.example.com` });
    void arena.chat(key, JSON.stringify({ model: `model ${at}`, messages: [] }));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  await arena.model('third', 'model', 'good', {
    api_base: `${arena.upstream.replace('127.0.0.1', 'localhost')}/good`,
  });
  const third = await arena.key('third');
  const startedAt = performance.now();
  const answered = arena.chat(third, body).then(({ status }) => `answered ${status}`);
  const late = new Promise<string>((resolve) => setTimeout(() => resolve('not answered in 10 s'), 10_000));
  const how = await Promise.race([answered, late]);
  return `another team's first call ${how} after ${Math.round(performance.now() - startedAt)} ms`;
}

/** One team's calls are refused by the account of a shared deployment. */
async function sharedLimit(arena: Arena): Promise<string> {
  await arena.model(null, 'shared', 'limited');
  const keys: string[] = [];
  for (const team_id of ['hostile', 'second', 'third']) {
    await arena.manage('/team/new', { team_id, models: ['shared'] });
    keys.push(await arena.key(team_id));
  }
  const [hostile = '', ...others] = keys;
  const call = '{"model":"shared","messages":[]}';
  for (let at = 0; at < 3; at++) await arena.chat(hostile, call, { 'x-litellm-num-retries': '0' });
  const before = arena.requests.get('limited') ?? 0;
  for (const key of others) await arena.chat(key, call, { 'x-litellm-num-retries': '0' });
  return `calls of two other teams that reached the provider: ${(arena.requests.get('limited') ?? 0) - before}`;
}

async function retries(arena: Arena): Promise<string> {
  await arena.model(null, 'shared', 'failing');
  await arena.model(null, 'shared', 'failing');
  await arena.manage('/team/new', { team_id: 'hostile', models: ['shared'] });
  const key = await arena.key('hostile');
  const timeout = { 'x-litellm-num-retries': '20', 'x-litellm-timeout': '25' };
  await arena.chat(key, '{"model":"shared","messages":[]}', timeout);
  return `${arena.requests.get('failing')} requests at the provider for one call`;
}

export const starvation: readonly Listed[] = [
  { item: 'B8', name: '300 streams at the same origin', attack: connections },
  { item: 'B9', name: '8 look-ups that nobody answers', attack: lookUps, silentDns: true },
  { item: 'B10', name: "one team's 429 of a shared model", attack: sharedLimit },
  { item: 'B11', name: '20 retries of a shared model', attack: retries },
];

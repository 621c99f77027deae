import { LLMock } from '@copilotkit/aimock';
import { generateEncryptionKey, memoryStorage, type Receipt, TeamModelRouter } from 'team-model-router';
import { expect, it, vi } from 'vitest';

const calls = 4_000;
/** A 429 cools for a second: how many calls it takes until there were enough of them is the machine's speed. */
const maxCalls = 60_000;
const atATime = 16;
const kinds = ['failed', 'rate_limited', 'provider_unreachable'] as const;
const ofEachKind = 20;
const messages = [{ role: 'user' as const, content: 'hello' }];
const apiKey = 'sk-0123456789abcdef';

it(`of ${calls} calls and more to two siblings, one of which fails in every way, nearly none fails; and the receipts add up`, async () => {
  const options = { host: '127.0.0.1', port: 0, auth: { apiKeys: [apiKey] }, journalMaxEntries: 100_000 };
  // Each rate is drawn only if the ones before it did not hit: 30 % 500s, 4 % 429s, which cool it, 10 % disconnects of all requests.
  const shaky = new LLMock({
    ...options,
    chaos: { dropRate: 0.3, rateLimitRate: 0.04 / 0.7, disconnectRate: 0.1 / 0.66 },
  });
  const steady = new LLMock(options);
  for (const mock of [shaky, steady]) mock.onMessage(/./, { content: 'Hello there' });
  const urls = [await shaky.start(), await steady.start()];
  const receipts: Receipt[] = [];
  const seen = new Map<string, number>();
  const router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: urls },
    onCall: (receipt) => {
      receipts.push(receipt);
      for (const { reason } of receipt.attempts) seen.set(reason, (seen.get(reason) ?? 0) + 1);
    },
  });
  try {
    // The failing one is asked again and again: nothing but the retry-after of its 429s cools it.
    await router.createTeam({ team_id: 'acme', settings: { cooldown_time: 0 } });
    for (const api_base of urls) {
      const litellm_params = { model: 'gpt-4o', api_key: apiKey, api_base };
      await router.addModel('acme', { model_name: 'm', litellm_params });
    }
    let made = 0;
    let succeeded = 0;
    const call = async (stream: boolean) => {
      if (!stream)
        return (await router.chatCompletion('acme', { model: 'm', messages })).choices[0]?.message.content;
      let text = '';
      for await (const chunk of await router.chatCompletion('acme', { model: 'm', messages, stream }))
        text += chunk.choices[0]?.delta.content ?? '';
      return text;
    };
    const enough = () => made >= calls && kinds.every((kind) => (seen.get(kind) ?? 0) > ofEachKind);
    const work = async () => {
      while (made < maxCalls && !enough()) {
        made += 1;
        const text = await call(made % 2 === 0).catch(() => undefined);
        if (text === 'Hello there') succeeded += 1;
      }
    };
    await Promise.all(Array.from({ length: atATime }, work));
    await vi.waitFor(() => expect(receipts).toHaveLength(made), { timeout: 10_000 });
    const arrived = shaky.getRequests().length + steady.getRequests().length;
    const attempts = receipts.flatMap((receipt) => receipt.attempts);
    const counts = [...seen].map(([reason, count]) => `${reason} ${count}`).join(', ');
    console.log(`${made} calls, ${succeeded} succeeded, ${attempts.length} attempts: ${counts}`);
    expect(succeeded).toBeGreaterThanOrEqual(made * 0.999);
    expect(new Set(receipts.map(({ callId }) => callId)).size).toBe(made);
    expect(attempts.length).toBe(arrived);
    for (const kind of kinds) expect(seen.get(kind), kind).toBeGreaterThan(ofEachKind);
  } finally {
    await router.close();
    await Promise.all([shaky.stop(), steady.stop()]);
  }
});

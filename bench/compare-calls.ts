/** In-process calls in a process of their own: as many as the parent asks for, one after the other. argv: the upstream's URL */
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';

const [, , upstream = ''] = process.argv;
const router = new TeamModelRouter({
  storage: memoryStorage(),
  encryptionKeys: [generateEncryptionKey()],
  egress: { allow: [upstream] },
});
await router.addModel('acme', {
  model_name: 'my-team-model',
  litellm_params: { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', api_base: upstream },
});
const messages = [{ role: 'user' as const, content: "What's the weather like in Boston today?" }];
process.on('message', async (count: number) => {
  const before = process.cpuUsage();
  for (let call = 0; call < count; call++)
    await router.chatCompletion('acme', { model: 'my-team-model', messages });
  const { user, system } = process.cpuUsage(before);
  process.send?.((user + system) / count);
});
process.on('disconnect', () => process.exit());
process.send?.('ready');

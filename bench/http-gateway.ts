/** The gateway on Node over storage in memory, with one team, one key and one model. argv: the upstream's URL, the port of nothing */

import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { serveGateway } from 'team-model-router/http/node';
import { answerToParent } from './http-child.ts';

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
const { key } = await router.createKey('acme');
const gateway = createGateway(router, { masterKey: `sk-${'m'.repeat(43)}` });
const { port } = await serveGateway(gateway, { port: 0 });
process.send?.({ key });
answerToParent(port);

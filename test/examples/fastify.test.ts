import { makeApp } from '../../examples/fastify.ts';
import { describeApplication } from './application.ts';

describeApplication('examples/fastify', async (router, teamOf) => {
  const app = makeApp(router, teamOf);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return { url, close: async () => app.close() };
});

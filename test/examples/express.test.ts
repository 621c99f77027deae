import type { AddressInfo } from 'node:net';
import { makeApp } from '../../examples/express.ts';
import { describeApplication } from './application.ts';

describeApplication('examples/express', async (router, teamOf) => {
  const server = makeApp(router, teamOf).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
});

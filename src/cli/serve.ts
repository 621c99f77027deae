import { join } from 'node:path';
import { createGateway } from '../http/gateway.ts';
import { serveGateway } from '../http/node.ts';
import { TeamModelRouter } from '../index.ts';
import { sqliteStorage } from '../storage/sqlite.ts';
import type { ServeSettings } from './arguments.ts';
import { type Found, findEncryptionKeys, findMasterKey, isThere, makeDataFolder } from './key-files.ts';

/** Starts the gateway on an embedded SQLite file; it ends, in good order, with SIGTERM or SIGINT. */
export async function serve(settings: ServeSettings, print: (line: string) => void): Promise<void> {
  const { data } = settings;
  const file = join(data, 'models.sqlite');
  await makeDataFolder(data);
  const encryptionKeys = await findEncryptionKeys(data, settings.encryptionKeys, () => isThere(file));
  const masterKey = await findMasterKey(data, settings.masterKey);
  const router = new TeamModelRouter({
    storage: sqliteStorage(file),
    encryptionKeys: encryptionKeys.value,
    egress: { allow: settings.egressAllow },
    teams: 'explicit',
  });
  const gateway = createGateway(router, { masterKey: masterKey.value, openapi: true });
  await router.checkStorage();
  const server = await serveGateway(gateway, { port: settings.port, hostname: settings.host });

  print(`Listening on ${server.url}`);
  print(`Models: ${file}`);
  print(`Encryption keys: ${described(encryptionKeys)}`);
  print(`Master key: ${described(masterKey)}`);
  if (masterKey.made) for (const line of firstSteps(server.url, masterKey.from)) print(line);

  const end = async (): Promise<void> => {
    print('Ending: open calls may finish.');
    await server.close();
    await router.close();
  };
  let ending = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // Whoever asks twice does not want to wait.
      if (ending) process.exit(1);
      ending = true;
      void end().then(() => process.exit(0));
    });
  }
}

function described({ from, made }: Found<unknown>): string {
  return made ? `${from} (made now; keep a copy)` : from;
}

/** Never a secret: the shell reads it from its file. */
function firstSteps(url: string, masterKeyFile: string): string[] {
  const post = (path: string, body: string) =>
    `  curl ${url}${path} -H "Authorization: Bearer $(cat ${masterKeyFile})" -H 'Content-Type: application/json' -d '${body}'`;
  return [
    '',
    'A team, and an API key for it:',
    post('/team/new', '{"team_id": "acme"}'),
    post('/key/generate', '{"team_id": "acme"}'),
  ];
}

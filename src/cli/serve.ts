import { RouterError } from '../errors.ts';
import { createGateway } from '../http/gateway.ts';
import { serveGateway } from '../http/node.ts';
import { TeamModelRouter } from '../index.ts';
import type { ServeSettings } from './arguments.ts';
import { type Found, findEncryptionKeys, findMasterKey, isThere, makeDataFolder } from './key-files.ts';
import { openStorage } from './open-storage.ts';

/** Starts the gateway, on an embedded SQLite file unless told otherwise; it ends, in good order, with SIGTERM or SIGINT. */
export async function serve(settings: ServeSettings, print: (line: string) => void): Promise<void> {
  const { data } = settings;
  const opened = await openStorage(settings.storage, data);
  if (opened.shared) checkShared(settings);
  await makeDataFolder(data);
  const encryptionKeys = await findEncryptionKeys(data, settings.encryptionKeys, () => isThere(opened.place));
  const masterKey = await findMasterKey(data, settings.masterKey);
  const router = new TeamModelRouter({
    storage: opened.storage,
    encryptionKeys: encryptionKeys.value,
    egress: { allow: settings.egressAllow },
    teams: 'explicit',
  });
  const end = async (): Promise<void> => {
    await router.close();
    await opened.release();
  };
  const server = await start(router, masterKey.value, settings).catch(async (error: unknown) => {
    await end();
    throw error;
  });

  print(`Listening on ${server.url}`);
  print(`Models: ${opened.place}`);
  print(`Encryption keys: ${described(encryptionKeys)}`);
  print(`Master key: ${described(masterKey)}`);
  if (masterKey.made) for (const line of firstSteps(server.url, masterKey.from)) print(line);

  let ending = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // Whoever asks twice does not want to wait.
      if (ending) process.exit(1);
      ending = true;
      print('Ending: open calls may finish.');
      void server
        .close()
        .then(end)
        .then(() => process.exit(0));
    });
  }
}

async function start(router: TeamModelRouter, masterKey: string, { port, host }: ServeSettings) {
  const gateway = createGateway(router, { masterKey, openapi: true });
  await router.checkStorage();
  return serveGateway(gateway, { port, hostname: host });
}

/** Keys that one of them made for itself would open nothing of what the others store. */
function checkShared({ encryptionKeys, masterKey }: ServeSettings): void {
  if (encryptionKeys !== undefined && masterKey !== undefined) return;
  throw new RouterError(
    'invalid_request',
    'Gateways that share a storage share their keys: set TMR_ENCRYPTION_KEYS and TMR_MASTER_KEY, the same for each.',
  );
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

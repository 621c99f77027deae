import { RouterError } from '../errors.ts';
import { createGateway } from '../http/gateway.ts';
import { serveGateway } from '../http/node.ts';
import { type EncryptionKey, type Storage, TeamModelRouter } from '../index.ts';
import type { ServeSettings } from './arguments.ts';
import { type Found, findEncryptionKeys, findMasterKey, isThere, makeDataFolder } from './key-files.ts';
import { placeOf } from './open-storage.ts';

/** Starts the gateway, on an embedded SQLite file unless told otherwise; it ends, in good order, with SIGTERM or SIGINT. */
export async function serve(settings: ServeSettings, print: (line: string) => void): Promise<void> {
  const { data } = settings;
  const place = placeOf(settings.storage, data);
  if (place.shared) checkShared(settings);
  await makeDataFolder(data);
  const encryptionKeys = await findEncryptionKeys(data, settings.encryptionKeys, () => isThere(place.name));
  const masterKey = await findMasterKey(data, settings.masterKey);
  const opened = await place.open();
  const { router, server } = await start(settings, {
    storage: opened.storage,
    encryptionKeys: encryptionKeys.value,
    masterKey: masterKey.value,
  }).catch(async (error: unknown) => {
    await opened.release();
    throw error;
  });

  print(`Listening on ${server.url}`);
  print(`Models: ${place.name}`);
  print(`Encryption keys: ${described(encryptionKeys)}`);
  print(`Master key: ${described(masterKey)}`);
  if (masterKey.made) for (const line of firstSteps(server.url, masterKey.from)) print(line);

  const end = async (): Promise<void> => {
    print('Ending: open calls may finish.');
    await server.close();
    await router.close();
    await opened.release();
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

interface Parts {
  storage: Storage;
  encryptionKeys: EncryptionKey[];
  masterKey: string;
}

async function start({ port, host, egressAllow }: ServeSettings, parts: Parts) {
  const { storage, encryptionKeys, masterKey } = parts;
  const egress = { allow: egressAllow };
  const router = new TeamModelRouter({ storage, encryptionKeys, egress, teams: 'explicit' });
  try {
    const gateway = createGateway(router, { masterKey, openapi: true });
    await router.checkStorage();
    return { router, server: await serveGateway(gateway, { port, hostname: host }) };
  } catch (error) {
    await router.close();
    throw error;
  }
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

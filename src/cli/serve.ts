import { RouterError } from '../errors.ts';
import { serveGateway } from '../http/adapters/node.ts';
import { createGateway } from '../http/gateway.ts';
import { type EncryptionKey, type Logger, type Storage, TeamModelRouter } from '../index.ts';
import { type ServeSettings, UsageError } from './arguments.ts';
import { type Found, findEncryptionKeys, findMasterKey, isThere, makeDataFolder } from './key-files.ts';
import { jsonLogger } from './log.ts';
import { placeOf } from './open-storage.ts';
import { findUnreadable } from './unreadable.ts';

const egressSource = '--egress-allow, TMR_EGRESS_ALLOW';

export interface Outputs {
  /** What it says of itself. */
  print: (line: string) => void;
  /** What fails. */
  log: (line: string) => void;
}

/** Starts the gateway, on an embedded SQLite file unless told otherwise; it ends, in good order, with SIGTERM or SIGINT. */
export async function serve(settings: ServeSettings, { print, log }: Outputs): Promise<void> {
  const { data } = settings;
  const place = placeOf(settings.storage, data);
  if (place.shared) checkShared(settings);
  if (place.inDataFolder) await makeDataFolder(data);
  const encryptionKeys = await findEncryptionKeys(data, settings.encryptionKeys, () => isThere(place.name));
  const masterKey = await findMasterKey(data, settings.masterKey);
  const opened = await place.open();
  const logger = jsonLogger(log);
  const { router, server } = await start(settings, {
    storage: opened.storage,
    encryptionKeys: encryptionKeys.value,
    masterKey: masterKey.value,
    logger,
  }).catch(async (error: unknown) => {
    await opened.release();
    throw withSource(error, {
      masterKey: masterKey.from,
      encryptionKeys: encryptionKeys.from,
      egress: egressSource,
    });
  });

  const end = async (): Promise<void> => {
    print('Ending: open calls may finish.');
    await server.close();
    // What the server has left open waits for nobody.
    await router.close({ drainTimeoutMs: 0 });
    await opened.release();
  };
  let ending = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // Whoever asks twice does not want to wait.
      if (ending) process.exit(1);
      ending = true;
      end().then(
        () => process.exit(0),
        (error: unknown) => {
          log(
            RouterError.isInstance(error) ? error.message : 'The gateway could not be ended in good order.',
          );
          process.exit(1);
        },
      );
    });
  }

  print(`Listening on ${server.url}`);
  print(`Models: ${place.name}`);
  const unused = masterKey.made || (await isUnused(router));
  print(`Encryption keys: ${described(encryptionKeys, unused)}`);
  print(`Master key: ${described(masterKey, unused)}`);
  if (masterKey.isFile && unused) for (const line of firstSteps(server.url, masterKey.from)) print(line);
  await warnOfUnreadable(router, logger);
}

interface Parts {
  storage: Storage;
  encryptionKeys: EncryptionKey[];
  masterKey: string;
  logger: Logger;
}

async function start(settings: ServeSettings, parts: Parts) {
  const { port, host, egressAllow, drainTimeoutMs } = settings;
  const { storage, encryptionKeys, masterKey, logger } = parts;
  const egress = { allow: egressAllow };
  const router = new TeamModelRouter({ storage, encryptionKeys, egress, teams: 'explicit', logger });
  try {
    const gateway = createGateway(router, { masterKey, openapi: true, logger });
    await router.checkStorage();
    return { router, server: await serveGateway(gateway, { port, hostname: host, drainTimeoutMs }) };
  } catch (error) {
    await router.close();
    throw error;
  }
}

async function warnOfUnreadable(router: TeamModelRouter, logger: Logger): Promise<void> {
  // The storage may go away meanwhile: calls and readiness say so.
  const found = await findUnreadable(router).catch(() => undefined);
  if (found !== undefined)
    logger.warn(found, 'stored secrets do not open: is this the encryption key that sealed them?');
}

/** Keys that one of them made for itself would open nothing of what the others store. */
function checkShared({ encryptionKeys, masterKey }: ServeSettings): void {
  if (encryptionKeys !== undefined && masterKey !== undefined) return;
  throw new RouterError(
    'invalid_request',
    'Gateways that share a storage share their keys: set TMR_ENCRYPTION_KEYS and TMR_MASTER_KEY, the same for each.',
  );
}

/** Says where an option came from that the router or the gateway refuses: its own names are not the command's. */
function withSource(error: unknown, sources: Record<string, string>): unknown {
  if (!RouterError.isInstance(error) || error.param === null) return error;
  const source = sources[/^\w+/.exec(error.param)?.[0] ?? ''];
  if (source === undefined) return error;
  const message = `${error.message} (from ${source})`;
  return source === egressSource ? new UsageError(message) : new RouterError(error.code, message);
}

/** Whether there is no team yet: a start that made the keys may have failed before it could say so. */
async function isUnused(router: TeamModelRouter): Promise<boolean> {
  // A storage that fails just now is for calls and readiness to tell of.
  const page = await router.listTeams({ limit: 1 }).catch(() => undefined);
  return page?.teams.length === 0 && page.unreadable === undefined && page.cursor === undefined;
}

function described({ from, made, isFile }: Found<unknown>, unused: boolean): string {
  if (made) return `${from} (made now; keep a copy)`;
  return isFile && unused ? `${from} (keep a copy)` : from;
}

/** Never a secret: the shell reads it from its file. */
function firstSteps(url: string, masterKeyFile: string): string[] {
  const post = (path: string, body: string, key = `$(cat ${masterKeyFile})`) =>
    `  curl ${url}${path} -H "Authorization: Bearer ${key}" -H 'Content-Type: application/json' -d '${body}'`;
  const litellmParams = `{"model": "openai/gpt-4o", "api_key": "'"$PROVIDER_KEY"'"}`;
  const model = `{"model_name": "my-team-model", "litellm_params": ${litellmParams}}`;
  const call = '{"model": "my-team-model", "messages": [{"role": "user", "content": "Hello"}]}';
  return [
    '',
    'A team, and an API key for it, which is shown this once:',
    post('/team/new', '{"team_id": "acme"}'),
    post('/key/generate', '{"team_id": "acme"}'),
    '',
    'With that key in TEAM_KEY, and the key of your OpenAI account in PROVIDER_KEY, a model, and a call:',
    post('/model/new', model, '$TEAM_KEY'),
    post('/v1/chat/completions', call, '$TEAM_KEY'),
  ];
}

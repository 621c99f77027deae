import { RouterError } from '../errors.ts';
import { serveGateway } from '../http/adapters/node.ts';
import { createGateway } from '../http/gateway.ts';
import { type EncryptionKey, type Logger, type Storage, TeamModelRouter } from '../index.ts';
import type { LogMessage } from '../logger.ts';
import { type ServeSettings, UsageError } from './arguments.ts';
import {
  createDataFolder,
  findEncryptionKeys,
  findMasterKey,
  isThere,
  type LoadedSecret,
} from './key-files.ts';
import { jsonLogger } from './log.ts';
import { placeOf } from './open-storage.ts';
import { findUnreadable } from './unreadable.ts';

const egressSource = '--egress-allow, TMR_EGRESS_ALLOW';

export interface Outputs {
  /** Prints progress. */
  print: (line: string) => void;
  /** Writes a log line. */
  log: (line: string) => void;
}

/**
 * Starts the gateway. The default storage is an embedded SQLite file. SIGTERM and SIGINT shut the gateway down
 * gracefully.
 */
export async function serve(settings: ServeSettings, { print, log }: Outputs): Promise<void> {
  const { data } = settings;
  const place = placeOf(settings.storage, data);
  if (place.shared) checkShared(settings);
  if (place.inDataFolder) await createDataFolder(data);
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
    print('Shutting down: waiting for open calls.');
    await server.close();
    // The server has already waited for open calls.
    await router.close({ drainTimeoutMs: 0 });
    await opened.release();
  };
  let ending = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // A second signal ends the process immediately.
      if (ending) process.exit(1);
      ending = true;
      end().then(
        () => process.exit(0),
        (error: unknown) => {
          log(RouterError.isInstance(error) ? error.message : 'The graceful shutdown failed.');
          process.exit(1);
        },
      );
    });
  }

  print(`Listening on ${server.url}`);
  print(`Models: ${place.name}`);
  const unused = masterKey.created || (await isUnused(router));
  print(`Encryption keys: ${describeSource(encryptionKeys, unused)}`);
  print(`Master key: ${describeSource(masterKey, unused)}`);
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
  // A storage failure is reported by calls and readiness instead.
  const found = await findUnreadable(router).catch(() => undefined);
  if (found === undefined) return;
  const { secret, records } = found;
  if (secret !== undefined)
    logger.warn(secret, 'stored secrets cannot be decrypted; check the encryption keys' satisfies LogMessage);
  if (records.length > 0) logger.warn({ records }, 'stored records cannot be read' satisfies LogMessage);
}

/**
 * Requires explicit keys for a shared storage, because other gateways could not unseal secrets of a generated key.
 */
function checkShared({ encryptionKeys, masterKey }: ServeSettings): void {
  if (encryptionKeys !== undefined && masterKey !== undefined) return;
  throw new RouterError(
    'invalid_request',
    'A shared storage requires the same keys for all gateways. Set TMR_ENCRYPTION_KEYS and TMR_MASTER_KEY.',
  );
}

/** Adds the source of an option that the router or the gateway rejects, because its name is not the command's. */
function withSource(error: unknown, sources: Record<string, string>): unknown {
  if (!RouterError.isInstance(error) || error.param === null) return error;
  const source = sources[/^\w+/.exec(error.param)?.[0] ?? ''];
  if (source === undefined) return error;
  const message = `${error.message.replace(/\.$/, '')} (from ${source}).`;
  return source === egressSource ? new UsageError(message) : new RouterError(error.code, message);
}

/** Returns whether no team exists. An earlier start may have created the keys and failed before it printed them. */
async function isUnused(router: TeamModelRouter): Promise<boolean> {
  // A storage failure is reported by calls and readiness instead.
  const page = await router.listTeams({ limit: 1 }).catch(() => undefined);
  return page?.teams.length === 0 && page.unreadable === undefined && page.cursor === undefined;
}

function describeSource({ from, created, isFile }: LoadedSecret<unknown>, unused: boolean): string {
  if (created) return `${from} (created; keep a copy)`;
  return isFile && unused ? `${from} (keep a copy)` : from;
}

/** Returns commands that contain no secret, because the shell reads it from its file. */
function firstSteps(url: string, masterKeyFile: string): string[] {
  const post = (path: string, body: string, key = `$(cat ${masterKeyFile})`) =>
    `  curl ${url}${path} -H "Authorization: Bearer ${key}" -H 'Content-Type: application/json' -d '${body}'`;
  const litellmParams = `{"model": "openai/gpt-4o", "api_key": "'"$PROVIDER_KEY"'"}`;
  const model = `{"model_name": "my-team-model", "litellm_params": ${litellmParams}}`;
  const call = '{"model": "my-team-model", "messages": [{"role": "user", "content": "Hello"}]}';
  return [
    '',
    'Create a team and an API key for it. The key is shown only once:',
    post('/team/new', '{"team_id": "acme"}'),
    post('/key/generate', '{"team_id": "acme"}'),
    '',
    'Set TEAM_KEY to that key and PROVIDER_KEY to the key of your OpenAI account. Then add a model and call it:',
    post('/model/new', model, '$TEAM_KEY'),
    post('/v1/chat/completions', call, '$TEAM_KEY'),
  ];
}

import type { OpenAI } from 'openai';
import { Dispatcher } from './calls/dispatch.ts';
import { makeSharedClient } from './calls/team-client.ts';
import { compilePolicy } from './egress/guard.ts';
import { Transport } from './egress/transport.ts';
import { type RouterOptions, readOptions } from './options.ts';
import { KeyRing } from './secrets/keyring.ts';
import { withDeadline } from './storage/deadline.ts';
import { checkBase } from './teams/check-base.ts';
import { ModelManagement } from './teams/model-management.ts';
import { Registry } from './teams/registry.ts';
import { Snapshots } from './teams/snapshots.ts';
import { TeamManagement } from './teams/team-management.ts';

/** What a router is made of, put together once. */
export interface Rooms {
  ring: KeyRing;
  teams: TeamManagement;
  models: ModelManagement;
  transports: { team: Transport; shared: Transport };
  dispatcher: Dispatcher;
  /** The client behind `chatCompletion`. */
  client: OpenAI;
  maxBodyBytes: number;
  close: () => Promise<void>;
}

/** @throws RouterError `invalid_request` that names the option at fault */
export function compose(given: RouterOptions): Rooms {
  const options = readOptions(given);
  const now = () => performance.now();
  const policies = {
    team: compilePolicy(options.egress.allow),
    shared: compilePolicy(options.egress.allow, options.egress.allowShared),
  };
  const transports = {
    team: new Transport({ policy: policies.team, ...options.transport }),
    shared: new Transport({ policy: policies.shared, ...options.transport }),
  };
  const ring = new KeyRing(options.encryptionKeys);
  const storage = withDeadline(options.storage, options.storageTimeoutMs);
  const snapshots = new Snapshots(storage, ring, { ...options, now });
  const registry = new Registry(storage, (teamId) => snapshots.drop(teamId));
  const { onCall, random, maxBodyBytes } = options;
  const dispatcher = new Dispatcher({ snapshots, transports, onCall, random, now });
  // A storage that cannot be watched now is read again within maxStalenessMs all the same.
  const watching = (
    options.storage.watch?.((event) => snapshots.notice(event)) ?? Promise.resolve(undefined)
  ).catch(() => undefined);
  return {
    ring,
    teams: new TeamManagement(registry, storage),
    models: new ModelManagement(registry, storage, ring, {
      teams: options.teams,
      checkBase: (base, shared) => checkBase(shared ? policies.shared : policies.team, base),
    }),
    transports,
    dispatcher,
    client: makeSharedClient(dispatcher, maxBodyBytes),
    maxBodyBytes,
    async close() {
      const stop = await watching;
      await stop?.();
      await Promise.all([transports.team.close(), transports.shared.close()]);
      await storage.close();
    },
  };
}

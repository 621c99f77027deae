import type { OpenAI } from 'openai';
import { Dispatcher } from './calls/dispatch.ts';
import { makeSharedClient } from './calls/team-client.ts';
import { type TestResult, testDeployment } from './calls/test-call.ts';
import { compilePolicy } from './egress/guard.ts';
import { Transport } from './egress/transport.ts';
import { type RouterOptions, readOptions } from './options.ts';
import type { ModelBody } from './schemas.ts';
import { KeyRing } from './secrets/keyring.ts';
import { withDeadline } from './storage/deadline.ts';
import type { Storage } from './storage/storage.ts';
import { checkBase } from './teams/check-base.ts';
import { Deployment } from './teams/deployment.ts';
import { KeyManagement } from './teams/key-management.ts';
import { KeyVerifier } from './teams/key-verifier.ts';
import { ModelManagement } from './teams/model-management.ts';
import { Registry } from './teams/registry.ts';
import { Snapshots } from './teams/snapshots.ts';
import { type Actor, TeamManagement } from './teams/team-management.ts';

/** What a router is made of, put together once. */
export interface Rooms {
  teams: TeamManagement;
  models: ModelManagement;
  keys: KeyManagement;
  verifier: KeyVerifier;
  snapshots: Snapshots;
  storage: Storage;
  testModel: (teamId: string | null, model: ModelBody | { id: string }, actor?: Actor) => Promise<TestResult>;
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
  const verifier = new KeyVerifier(storage, snapshots, { ...options, now });
  const registry = new Registry(storage, {
    timeoutMs: options.storageTimeoutMs,
    onWrite: (teamId) => snapshots.drop(teamId),
  });
  const { onCall, random, maxBodyBytes, maxHeldBytes } = options;
  const limits = { maxBodyBytes, maxHeldBytes };
  const dispatcher = new Dispatcher({ snapshots, transports, limits, onCall, random, now });
  // A storage that cannot be watched now is read again within maxStalenessMs all the same.
  const watching = (
    options.storage.watch?.((event) => {
      snapshots.notice(event);
      verifier.notice(event);
    }) ?? Promise.resolve(undefined)
  ).catch(() => undefined);
  const models = new ModelManagement(registry, storage, ring, {
    teams: options.teams,
    checkBase: (base, shared) => checkBase(shared ? policies.shared : policies.team, base),
  });
  return {
    teams: new TeamManagement(registry, storage),
    models,
    keys: new KeyManagement(registry, storage, { teams: options.teams }),
    verifier,
    snapshots,
    storage,
    async testModel(teamId, model, actor) {
      const prepared = await models.prepareTest(teamId, model, actor);
      if (prepared === undefined) return { status: 'address_not_allowed' };
      const deployment = new Deployment(ring, teamId, prepared.name, prepared.deployment);
      return testDeployment(teamId === null ? transports.shared : transports.team, deployment);
    },
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

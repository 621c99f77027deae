import { setTimeout as sleep } from 'node:timers/promises';
import { AffinityStore } from './calls/affinity/affinity-store.ts';
import type { CallServices } from './calls/call-context.ts';
import { Dispatcher } from './calls/dispatcher.ts';
import { Reporter } from './calls/receipt/reporter.ts';
import { ModelResolver } from './calls/routing/authorize.ts';
import { CircuitBreaker } from './calls/routing/circuit-breaker.ts';
import { RateLimiter } from './calls/routing/rate-limits.ts';
import { type TeamHealth, teamHealth } from './calls/routing/team-health.ts';
import { Credentials } from './calls/upstream/credentials.ts';
import { openSocket, send } from './calls/upstream/send.ts';
import type { TestResult } from './calls/upstream/test-answer.ts';
import { notAllowed } from './calls/upstream/test-answer.ts';
import { testDeployment } from './calls/upstream/test-connection.ts';
import { chatCompletionOf, type TeamChatCompletion } from './client/chat-completion.ts';
import { makeSharedClient } from './client/team-client.ts';
import type { RefusedHost } from './egress/connector.ts';
import { compilePolicy } from './egress/guard.ts';
import { connectionSlots, makeNames } from './egress/limits.ts';
import { Transport } from './egress/transport.ts';
import { describeError, Log } from './logger.ts';
import { MemoryBudget } from './memory-budget.ts';
import { createMetering } from './metering/create-metering.ts';
import { OpenWork } from './open-work.ts';
import { type CloseOptions, type RouterOptions, readCloseOptions, readOptions } from './options.ts';
import type { ModelBody } from './schemas/body-types.ts';
import { KeyRing } from './secrets/keyring.ts';
import { SessionRegistry } from './sessions/registry.ts';
import { SessionService } from './sessions/service.ts';
import { withDeadline } from './storage/with-deadline.ts';
import { WriteProbe } from './storage/write-probe.ts';
import { KeyVerifier } from './teams/key-verifier.ts';
import type { Actor } from './teams/management/actor.ts';
import { checkBase } from './teams/management/check-base.ts';
import { KeyService } from './teams/management/key-service.ts';
import { ModelService } from './teams/management/model-service.ts';
import { TeamService } from './teams/management/team-service.ts';
import { Deployment } from './teams/records/deployment.ts';
import { Rotation } from './teams/records/key-rotation.ts';
import { RecordStore } from './teams/records/record-store.ts';
import { SnapshotCache } from './teams/records/snapshot-cache.ts';
import { sharedKey } from './teams/records/team-record.ts';

/** The parts of a router. */
export interface RouterServices {
  teams: TeamService;
  models: ModelService;
  keys: KeyService;
  verifier: Pick<KeyVerifier, 'verify'>;
  rotation: Rotation;
  snapshots: Pick<SnapshotCache, 'get'>;
  checkStorage: (options: { writes?: boolean | undefined }) => Promise<void>;
  testModel: (teamId: string | null, model: ModelBody | { id: string }, actor?: Actor) => Promise<TestResult>;
  health: (teamId: string) => Promise<TeamHealth>;
  dispatcher: Dispatcher;
  sessions: SessionService;
  budget: MemoryBudget;
  chatCompletion: TeamChatCompletion;
  close: (options: CloseOptions) => Promise<void>;
}

const storageWords = {
  read: { failed: 'storage failed', recovered: 'storage recovered' },
  write: { failed: 'storage write failed', recovered: 'storage writes recovered' },
} as const;

/**
 * Creates the parts of a router.
 *
 * @throws RouterError `invalid_request` that names the invalid option
 */
export function createServices(given: RouterOptions): RouterServices {
  const options = readOptions(given);
  const now = () => performance.now();
  const log = new Log(options.logger);
  const { ports, allowShared } = options.egress;
  const policies = {
    team: compilePolicy(options.egress.allow, { ports }),
    shared: compilePolicy(options.egress.allow, { ports, allowShared }),
  };
  const way = {
    ...options.transport,
    // A team's calls to its own deployments and to shared ones count together.
    slots: connectionSlots(options.transport),
    names: makeNames(options.transport),
    onRefused: (host: RefusedHost) => log.write('warn', host, 'host refused'),
  };
  const transports = {
    team: new Transport({ policy: policies.team, ...way }),
    shared: new Transport({ policy: policies.shared, ...way }),
  };
  const ring = new KeyRing(options.encryptionKeys);
  const storage = withDeadline(options.storage, options.storageTimeoutMs, (failure, kind) => {
    const words = storageWords[kind];
    if (failure === undefined) log.write('info', {}, words.recovered);
    else log.write('error', { error: describeError(failure) }, words.failed);
    if (failure !== undefined && kind === 'write') probe.recordFailure();
  });
  const probe: WriteProbe = new WriteProbe(storage);
  const snapshots = new SnapshotCache(storage, ring, { ...options, now });
  const verifier = new KeyVerifier(storage, snapshots, { ...options, now });
  const records = new RecordStore(storage, {
    timeoutMs: options.storageTimeoutMs,
    now,
    onWrite: (teamId, written) =>
      written === undefined ? snapshots.invalidate(teamId) : snapshots.keepWritten(teamId, written),
  });
  const { onCall, onUsage, random, maxBodyBytes, maxHeldBytes, maxAnswerBytes } = options;
  const budget = new MemoryBudget(options);
  const limits = {
    maxBodyBytes,
    maxHeldBytes,
    // The budget could never hold a larger body.
    maxJsonBytes: Math.min(options.maxJsonBytes, budget.maxBytes),
  };
  const credentials = new Credentials(transports, now);
  const affinity = new AffinityStore(storage, {
    ...options,
    onDropped: (dropped) => log.write('warn', dropped, 'affinity records dropped'),
  });
  const health = new CircuitBreaker(now, (cooldown) =>
    log.write('warn', cooldown, 'deployment cooling down'),
  );
  const availability = { health, limits: new RateLimiter(now) };
  const metering = createMetering({ onUsage, prices: options.prices, random, log });
  const work = new OpenWork();
  const callServices = {
    work,
    resolver: new ModelResolver(snapshots, affinity),
    send: (...call: Parameters<CallServices['send']>) => send({ transports, credentials }, ...call),
    maxAnswerBytes,
    availability,
    reporter: new Reporter(onCall, log),
    meter: metering?.meter,
    random,
    now,
    sleep,
  };
  const { unknownCalls } = options;
  const dispatcher = new Dispatcher({ ...callServices, affinity, budget, limits, unknownCalls });
  const { handshakeTimeoutMs, maxMessageBytes } = options.sessions;
  // Half of the time for each attempt, so that another deployment can answer within the other half.
  const handshake = { headersTimeoutMs: Math.ceil(handshakeTimeoutMs / 2), maxMessageBytes };
  const registry = new SessionRegistry(options.sessions, options.maxStalenessMs);
  const sessions = new SessionService({
    ...callServices,
    openSocket: (...call) => openSocket({ transports, credentials }, ...call, handshake),
    registry,
    budget,
    limits: options.sessions,
  });
  // A storage that cannot be watched is still read again within maxStalenessMs.
  const watching = (
    options.storage.watch?.((event) => {
      snapshots.onStorageEvent(event);
      verifier.onStorageEvent(event);
    }) ?? Promise.resolve(undefined)
  ).catch((error: unknown) => {
    log.write('warn', { error: describeError(error) }, 'storage cannot be watched');
  });
  const models = new ModelService(records, storage, ring, {
    teams: options.teams,
    checkBase: (base, shared) => checkBase(shared ? policies.shared : policies.team, base),
  });
  // A team must not scan a range of addresses that the operator allows.
  const exceptions = [...options.egress.allow, ...allowShared];
  const withoutExceptions = compilePolicy([], { ports });
  const mayQuote = ({ target }: Deployment): boolean => {
    const { host, hostname, href } = new URL(target.base);
    const named = exceptions.some((entry) =>
      [host, hostname].includes(entry.replace(/^https?:\/\//i, '').toLowerCase()),
    );
    return named || withoutExceptions.checkUrl(new URL(href)) === undefined;
  };
  let ended: Promise<void> | undefined;
  const end = async () => {
    await Promise.all([transports.team.close(), transports.shared.close()]);
    await metering?.close();
    const stop = await watching;
    await stop?.();
    await storage.close();
  };
  return {
    teams: work.guard(new TeamService(records, storage)),
    models: work.guard(models),
    keys: work.guard(new KeyService(records, storage, { teams: options.teams })),
    verifier: { verify: (key) => work.run(() => verifier.verify(key)) },
    rotation: work.guard(new Rotation(records, storage, ring, () => work.check())),
    snapshots: {
      get(teamId) {
        work.check();
        return snapshots.get(teamId);
      },
    },
    checkStorage: ({ writes = false }) =>
      work.run(async () => {
        await storage.get(sharedKey);
        if (writes) await probe.check();
      }),
    testModel: (teamId, model, actor) =>
      work.run(async () => {
        const prepared = await models.prepareTest(teamId, model, actor);
        if (prepared === undefined) return notAllowed;
        const deployment = new Deployment(ring, teamId, prepared.name, prepared.deployment);
        const transport = teamId === null ? transports.shared : transports.team;
        return testDeployment(transport, credentials, deployment, mayQuote(deployment));
      }),
    health: (teamId) => work.run(async () => teamHealth(availability.health, await snapshots.get(teamId))),
    dispatcher,
    sessions,
    budget,
    chatCompletion: chatCompletionOf(makeSharedClient(dispatcher), () => work.isClosing),
    async close(given) {
      registry.endAll();
      await work.drain(readCloseOptions(given).drainTimeoutMs);
      ended ??= end();
      await ended;
    },
  };
}

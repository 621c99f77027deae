import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { Receipt } from './calls/receipt/receipt.ts';
import { entryProblem } from './egress/allow-list.ts';
import type { Lookup } from './egress/connector.ts';
import { isLogger, type Logger } from './logger.ts';
import type { PriceTable } from './metering/prices.ts';
import type { UsageEvent } from './metering/usage-event.ts';
import { hasMethods, parseOptions } from './schemas/parse.ts';
import { type EncryptionKey, keyProblems } from './secrets/keyring.ts';
import { type SessionOptions, sessionOptions } from './sessions/options.ts';
import type { Storage } from './storage/storage.ts';

/**
 * Options of a `TeamModelRouter`.
 *
 * @example
 * ```ts
 * const options: RouterOptions = {
 *   storage: sqliteStorage('models.sqlite'),
 *   encryptionKeys: [{ id: 'k1', key: process.env.ENCRYPTION_KEY ?? '' }],
 * };
 * ```
 */
export interface RouterOptions {
  /** Stores the records of teams, models and API keys. */
  storage: Storage;
  /** Keys of 32 bytes in base64. The first key seals, and all keys unseal. See `generateEncryptionKey`. */
  encryptionKeys: readonly EncryptionKey[];
  /**
   * Exceptions to the egress policy, which allows public addresses over HTTPS on port 443. An entry of `allow` is
   * `host`, `*.suffix`, `host:port`, a CIDR block or `CIDR:port`. A leading `http://` also allows plain HTTP.
   * `allowShared` adds entries for shared deployments only.
   */
  egress?: {
    allow?: readonly string[] | undefined;
    allowShared?: readonly string[] | undefined;
    /** Allowed ports of public addresses. Default: 443. */
    ports?: readonly number[] | undefined;
    /** A certificate authority in PEM, trusted in addition to the well-known ones. */
    ca?: string | undefined;
    /** A custom resolver, called like `dns.lookup` with `all`. Its results are checked by the egress policy. */
    lookup?: Lookup | undefined;
    /**
     * `dns` (default) reads the hosts file and queries the name servers. `system` uses the system's `getaddrinfo`,
     * for names that only it knows (mDNS, NIS). It occupies libuv's threads, so one team's unanswered names can delay
     * every team.
     */
    resolver?: 'dns' | 'system' | undefined;
    /** Milliseconds for name resolution, the TCP connection and the TLS handshake together. Default 10 000. */
    connectTimeoutMs?: number | undefined;
    /** Maximum number of connections to providers, of all teams together. Default 2 048. */
    maxConnections?: number | undefined;
    /**
     * Maximum number of connections that one team's calls use, including those to shared deployments. Default 256.
     */
    maxConnectionsPerTeam?: number | undefined;
    /**
     * Maximum number of calls of one team that wait for a connection. Further calls fail with `rate_limit_exceeded`.
     * Default 256.
     */
    maxQueuedPerTeam?: number | undefined;
    /** Milliseconds that a call waits for a connection before it fails with `rate_limit_exceeded`. Default 10 000. */
    queueTimeoutMs?: number | undefined;
  };
  /**
   * `implicit` (default): the first model or API key of a team creates its record. `explicit`: an unknown team is
   * rejected.
   */
  teams?: 'implicit' | 'explicit';
  /** Milliseconds within which this process applies a change by another process. Default 5 000. */
  maxStalenessMs?: number;
  /** Milliseconds for which cached teams are served while the storage is unavailable. Default 30 000. */
  serveStaleMs?: number;
  /** Milliseconds that a storage operation may take. Default 5 000. */
  storageTimeoutMs?: number;
  /** Maximum number of teams in the cache. Default 10 000. */
  maxTeams?: number;
  /** Maximum size in bytes of a form (`multipart/form-data`), such as an upload. Default 268 435 456 (256 MiB). */
  maxBodyBytes?: number;
  /**
   * Maximum size in bytes of any other body, because it is buffered as a whole. Default 67 108 864 (64 MiB).
   * `maxBodyBytes`, `maxTeamBytesInFlight` and `maxBytesInFlight` also limit it.
   */
  maxJsonBytes?: number;
  /**
   * Maximum number of bytes of requests and responses that one team's calls hold in memory. A call above it fails
   * with 429 `rate_limit_exceeded`. Default 134 217 728 (128 MiB).
   */
  maxTeamBytesInFlight?: number;
  /**
   * Maximum number of bytes that the calls of all teams hold in memory. A call above it fails with 503 `overloaded`.
   * Default 536 870 912 (512 MiB).
   */
  maxBytesInFlight?: number;
  /**
   * Maximum size in bytes of a JSON response, because its client buffers the whole response. Files, audio and event
   * streams have no limit. Default 268 435 456 (256 MiB).
   */
  maxAnswerBytes?: number;
  /** Maximum decoded size in bytes of a compressed response. Default 67 108 864 (64 MiB). */
  maxDecodedBytes?: number;
  /**
   * Maximum number of upload bytes that are buffered to find a `model` field behind a file. Default 8 388 608 (8
   * MiB).
   */
  maxHeldBytes?: number;
  /**
   * Milliseconds for which a pool remembers the deployment that created a response, file, batch or other object of
   * one provider account. The time restarts with each use. Default 30 days.
   */
  affinityTtlMs?: number;
  /** Limits of WebSocket sessions. */
  sessions?: SessionOptions | undefined;
  /**
   * `forward` (default): a call below `/v1` that the router does not know goes to the team's own deployment as it came.
   * `refuse`: it is rejected with `not_found`. Calls that administer an organization are always rejected.
   */
  unknownCalls?: 'forward' | 'refuse';
  /** Receives a receipt of every call. Errors that it throws are ignored. */
  onCall?: (receipt: Receipt) => void;
  /**
   * Receives usage events in batches of at most 100, one batch at a time. A batch is delivered again if the function throws or
   * rejects, for at most 24 hours, so `id` of an event has to be used as an idempotency key. At most 10 000 events wait.
   */
  onUsage?: (events: readonly UsageEvent[]) => unknown;
  /** Prices of models whose deployment has none, such as the module `@pydantic/genai-prices`. Default: no table. */
  prices?: PriceTable;
  /**
   * Receives log lines, for example `pino()`. Errors that it throws are ignored. Default: no logging. See
   * docs/reference/log-messages.md.
   */
  logger?: Logger;
  /** Returns a number in [0, 1) that selects a deployment of a pool. Default `Math.random`. */
  random?: () => number;
}

/**
 * Options of `TeamModelRouter.close`.
 *
 * @example
 * ```ts
 * const options: CloseOptions = { drainTimeoutMs: 10_000 };
 * await router.close(options);
 * ```
 */
export interface CloseOptions {
  /** Milliseconds that open calls, streams and changes may take to end. Default 25 000. */
  drainTimeoutMs?: number | undefined;
}

const milliseconds = z.int().positive().max(86_400_000);
const bytes = z.int().positive().max(2_147_483_647);
/** A smaller limit could not hold the initial buffer of a body of unknown length. */
const inFlight = z.int().min(1_048_576).max(1_099_511_627_776);
const count = z.int().min(0).max(1_000_000);
const callback = <Signature>() =>
  z.custom<Signature>((value) => typeof value === 'function', 'must be a function');
const entries = z
  .array(
    z.string().check(({ value, issues }) => {
      const message = entryProblem(value);
      if (message !== undefined) issues.push({ code: 'custom', input: value, message });
    }),
  )
  .readonly();

const isStorage = (value: unknown): boolean => hasMethods(value, ['get', 'put', 'delete', 'list', 'close']);

function storageProblem(input: unknown): string {
  const pass =
    "Pass sqliteStorage('models.sqlite'), redisStorage(client), postgresStorage(pool), keyvStorage(keyv) or memoryStorage()";
  if (typeof input === 'string' || input instanceof URL) return `must be a storage, not an address. ${pass}.`;
  if (typeof input === 'function') return 'must be a storage, not the function that creates one. Call it.';
  if (typeof (input as { then?: unknown } | null | undefined)?.then === 'function')
    return 'must be a storage, not a promise. Write await before it.';
  const problem = 'must be a storage, such as memoryStorage()';
  return input === undefined || input === null ? problem : `${problem}. ${pass}.`;
}

/** Checks the certificate early, because an invalid one would fail every call. */
function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    return false;
  }
}

const routerOptions = z.strictObject({
  storage: z.custom<Storage>(isStorage, { error: ({ input }) => storageProblem(input) }),
  encryptionKeys: z
    .custom<readonly EncryptionKey[]>(
      Array.isArray,
      'must be a list of keys, such as [generateEncryptionKey()]',
    )
    .check(({ value, issues }) => {
      if (!Array.isArray(value)) return;
      const [problem] = keyProblems(value);
      // The issue omits the input, because it is a secret.
      if (problem !== undefined)
        issues.push({
          code: 'custom',
          input: undefined,
          path: problem.path,
          message: problem.message,
        });
    }),
  egress: z
    .strictObject({
      allow: entries.optional(),
      allowShared: entries.optional(),
      ports: z.array(z.int().min(1).max(65_535)).readonly().optional(),
      ca: z.string().refine(isCertificate, 'must be certificates in PEM').optional(),
      lookup: callback<Lookup>().optional(),
      resolver: z.enum(['dns', 'system']).optional(),
      connectTimeoutMs: milliseconds.optional(),
      maxConnections: count.min(1).optional(),
      maxConnectionsPerTeam: count.min(1).optional(),
      maxQueuedPerTeam: count.optional(),
      queueTimeoutMs: milliseconds.optional(),
    })
    .optional(),
  teams: z.enum(['implicit', 'explicit']).default('implicit'),
  maxStalenessMs: milliseconds.default(5_000),
  serveStaleMs: milliseconds.default(30_000),
  storageTimeoutMs: milliseconds.default(5_000),
  maxTeams: z.int().positive().max(10_000_000).default(10_000),
  maxBodyBytes: bytes.default(268_435_456),
  maxJsonBytes: bytes.default(67_108_864),
  maxTeamBytesInFlight: inFlight.default(134_217_728),
  maxBytesInFlight: inFlight.default(536_870_912),
  maxAnswerBytes: bytes.default(268_435_456),
  maxDecodedBytes: bytes.optional(),
  maxHeldBytes: z.int().positive().max(268_435_456).default(8_388_608),
  affinityTtlMs: z.int().min(60_000).max(31_536_000_000).default(2_592_000_000),
  sessions: sessionOptions,
  unknownCalls: z.enum(['forward', 'refuse']).default('forward'),
  onCall: callback<(receipt: Receipt) => void>().optional(),
  prices: z
    .custom<PriceTable>((value) => hasMethods(value, ['calcPrice']), 'must have the method calcPrice')
    .optional(),
  onUsage: callback<(events: readonly UsageEvent[]) => unknown>().optional(),
  logger: z.custom<Logger>(isLogger, 'must have the methods info, warn and error').optional(),
  random: callback<() => number>().default(() => Math.random),
});

const closeOptions = z.strictObject({ drainTimeoutMs: z.int().min(0).max(86_400_000).default(25_000) });

/**
 * Parses the options of `close`.
 *
 * @throws RouterError `invalid_request` that names the invalid option
 */
export function readCloseOptions(input: CloseOptions) {
  return parseOptions(closeOptions, input);
}

/**
 * Parses the options of a router and sets defaults.
 *
 * @throws RouterError `invalid_request` that names every invalid option
 */
export function readOptions(input: RouterOptions) {
  const { egress = {}, maxDecodedBytes, ...options } = parseOptions(routerOptions, input);
  const { allow, allowShared, ports, ...transport } = egress;
  return {
    ...options,
    egress: { allow: allow ?? [], allowShared: allowShared ?? [], ports: ports ?? [443] },
    transport: defined({ ...transport, maxDecodedBytes }),
  };
}

/** Removes the fields that are `undefined`. */
function defined<Fields extends object>(
  fields: Fields,
): { [Field in keyof Fields]: Exclude<Fields[Field], undefined> } {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(kept) as { [Field in keyof Fields]: Exclude<Fields[Field], undefined> };
}

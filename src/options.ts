import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { Receipt } from './calls/receipt/receipt.ts';
import { entryProblem } from './egress/allow-list.ts';
import type { Lookup } from './egress/connector.ts';
import { isLogger, type Logger } from './logger.ts';
import { hasMethods, parseOptions } from './schemas/parse.ts';
import { type EncryptionKey, keyProblems } from './secrets/keyring.ts';
import type { Storage } from './storage/storage.ts';

/** What a `TeamModelRouter` is made of. */
export interface RouterOptions {
  /** Where the teams' records are kept. */
  storage: Storage;
  /** 32 bytes each, in base64: the first seals, all of them open. See `generateEncryptionKey`. */
  encryptionKeys: readonly EncryptionKey[];
  /**
   * Addresses that calls may go to beside public ones over https on port 443: `host`, `*.suffix`, `host:port`, a
   * CIDR, or `CIDR:port`, with `http://` in front where https is not needed. `allowShared` holds for shared
   * deployments on top.
   */
  egress?: {
    allow?: readonly string[] | undefined;
    allowShared?: readonly string[] | undefined;
    /** The ports of public addresses. Default: 443 alone. */
    ports?: readonly number[] | undefined;
    /** A certificate authority of your own, in PEM, beside the well-known ones. */
    ca?: string | undefined;
    /** Your own look-up of names, called as `dns.lookup` is with `all`; what it answers is judged like any other. */
    lookup?: Lookup | undefined;
    /**
     * `dns`, the default: names are looked up at the name servers, after the hosts file. `system`: by the system's own `getaddrinfo`,
     * for names that only it knows (mDNS, NIS). It uses libuv's threads, so one team's unanswered names can delay every team.
     */
    resolver?: 'dns' | 'system' | undefined;
    /** Milliseconds to look a host up, connect, and agree on TLS. Default 10 000. */
    connectTimeoutMs?: number | undefined;
    /** Connections to providers of all teams together. Default 2 048. */
    maxConnections?: number | undefined;
    /** Connections to providers that one team's calls use at the same time, to shared deployments too. Default 256. */
    maxConnectionsPerTeam?: number | undefined;
    /** Calls of one team that wait for a connection; more are refused with `rate_limit_exceeded`. Default 256. */
    maxQueuedPerTeam?: number | undefined;
    /** Milliseconds that a call waits for a connection before it is refused with `rate_limit_exceeded`. Default 10 000. */
    queueTimeoutMs?: number | undefined;
  };
  /** Default `implicit`: a team's first model, or key, makes its record. `explicit`: an unknown team is refused. */
  teams?: 'implicit' | 'explicit';
  /** Milliseconds within which a change made by another process counts here. Default 5 000. */
  maxStalenessMs?: number;
  /** Milliseconds for which known teams are served while the storage cannot be reached. Default 30 000. */
  serveStaleMs?: number;
  /** Milliseconds that a storage operation may take. Default 5 000. */
  storageTimeoutMs?: number;
  /** How many teams are kept in memory. Default 10 000. */
  maxTeams?: number;
  /** Bytes that a form (`multipart/form-data`), such as an upload, may have. Default 268 435 456 (256 MiB). */
  maxBodyBytes?: number;
  /**
   * Bytes that any other body may have, since it is held whole. Default 67 108 864 (64 MiB). `maxBodyBytes` bounds it too,
   * and so do the two options that follow.
   */
  maxJsonBytes?: number;
  /**
   * Bytes of requests and answers that the calls of one team may hold in memory at a time. A call that would hold more is
   * refused with 429 `rate_limit_exceeded`. Default 134 217 728 (128 MiB).
   */
  maxTeamBytesInFlight?: number;
  /** The same for the calls of all teams together; beyond it: 503 `overloaded`. Default 536 870 912 (512 MiB). */
  maxBytesInFlight?: number;
  /**
   * Bytes that a JSON answer may have, since whoever reads it holds it whole. Files, audio and streams of events go on at
   * the reader's pace, without an end. Default 268 435 456 (256 MiB).
   */
  maxAnswerBytes?: number;
  /** Bytes that an answer of any kind may unpack to, where its provider has compressed it. Default 67 108 864 (64 MiB). */
  maxDecodedBytes?: number;
  /** Bytes of an upload that are held back to find its field `model` behind a file. Default 8 388 608 (8 MiB). */
  maxHeldBytes?: number;
  /**
   * Milliseconds for which a pool remembers which of its deployments made a response, a file, a batch or another object
   * that lives in one provider account, after it was last spoken of. Default 30 days.
   */
  affinityTtlMs?: number;
  /** Is told of every call; what it throws is ignored. */
  onCall?: (receipt: Receipt) => void;
  /** Is told of what fails, such as `pino()`; what it throws is ignored. Default: nobody is. See docs/logging.md. */
  logger?: Logger;
  /** Uniform in [0, 1): decides between deployments of a pool. Default `Math.random`. */
  random?: () => number;
}

/** How a `TeamModelRouter` is closed. */
export interface CloseOptions {
  /** Milliseconds that open calls, streams and changes may take to end. Default 25 000. */
  drainTimeoutMs?: number | undefined;
}

const milliseconds = z.int().positive().max(86_400_000);
const bytes = z.int().positive().max(2_147_483_647);
/** Less would refuse the buffer that a body of unknown length begins with. */
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

function storageProblem(given: unknown): string {
  const pass =
    "Pass sqliteStorage('models.sqlite'), redisStorage(client), postgresStorage(pool), keyvStorage(keyv) or memoryStorage()";
  if (typeof given === 'string' || given instanceof URL) return `must be a storage, not an address. ${pass}.`;
  if (typeof given === 'function') return 'must be a storage, not the function that makes one. Call it.';
  if (typeof (given as { then?: unknown } | null | undefined)?.then === 'function')
    return 'must be a storage, not a promise of one. Write await before it.';
  const problem = 'must be a storage, such as memoryStorage()';
  return given === undefined || given === null ? problem : `${problem}. ${pass}.`;
}

/** A bad one would fail every call to everybody. */
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
      // An issue has its input, and the input is a secret.
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
  onCall: callback<(receipt: Receipt) => void>().optional(),
  logger: z.custom<Logger>(isLogger, 'must have the methods info, warn and error').optional(),
  random: callback<() => number>().default(() => Math.random),
});

const closeOptions = z.strictObject({ drainTimeoutMs: z.int().min(0).max(86_400_000).default(25_000) });

/** @throws RouterError `invalid_request` that names the option at fault */
export function readCloseOptions(given: CloseOptions) {
  return parseOptions(closeOptions, given);
}

/** Checks the options and fills in the defaults. */
export function readOptions(given: RouterOptions) {
  const { egress = {}, maxDecodedBytes, ...options } = parseOptions(routerOptions, given);
  const { allow, allowShared, ports, ...transport } = egress;
  return {
    ...options,
    egress: { allow: allow ?? [], allowShared: allowShared ?? [], ports: ports ?? [443] },
    transport: defined({ ...transport, maxDecodedBytes }),
  };
}

/** Without the fields that are `undefined`. */
function defined<Fields extends object>(
  fields: Fields,
): { [Field in keyof Fields]: Exclude<Fields[Field], undefined> } {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(kept) as { [Field in keyof Fields]: Exclude<Fields[Field], undefined> };
}

import { z } from 'zod';

/**
 * Limits of WebSocket sessions.
 *
 * @example
 * ```ts
 * const sessions: SessionOptions = { maxSessionsPerTeam: 16, idleTimeoutMs: 60_000 };
 * new TeamModelRouter({ storage, encryptionKeys, sessions });
 * ```
 */
export interface SessionOptions {
  /** Maximum number of open sessions, of all teams together. Default 1 024. */
  maxSessions?: number | undefined;
  /** Maximum number of open sessions of one team. Default 128. */
  maxSessionsPerTeam?: number | undefined;
  /** Maximum size in bytes of one message, in either direction. Default 16 777 216 (16 MiB). */
  maxMessageBytes?: number | undefined;
  /** Milliseconds until the provider has to have answered the handshake, all attempts together. Default 20 000. */
  handshakeTimeoutMs?: number | undefined;
  /** Milliseconds without a message in either direction after which a session ends. Default 600 000 (10 minutes). */
  idleTimeoutMs?: number | undefined;
  /** Milliseconds that a session may last. Default 7 200 000 (2 hours). */
  maxDurationMs?: number | undefined;
  /**
   * Milliseconds between two pings to the client and to the provider. A peer that has sent nothing since the last ping is
   * disconnected. Default 30 000.
   */
  pingIntervalMs?: number | undefined;
}

const milliseconds = z.int().positive().max(86_400_000);
const count = z.int().min(1).max(1_000_000);

export const sessionOptions = z
  .strictObject({
    maxSessions: count.default(1_024),
    maxSessionsPerTeam: count.default(128),
    maxMessageBytes: z.int().min(1_024).max(268_435_456).default(16_777_216),
    handshakeTimeoutMs: milliseconds.default(20_000),
    idleTimeoutMs: milliseconds.default(600_000),
    maxDurationMs: milliseconds.default(7_200_000),
    pingIntervalMs: milliseconds.default(30_000),
  })
  .prefault({});

/** The limits with their defaults. */
export type SessionLimits = z.output<typeof sessionOptions>;

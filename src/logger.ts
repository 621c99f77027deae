import { AsyncLocalStorage } from 'node:async_hooks';
import { RouterError } from './errors.ts';
import { redactFields } from './redact/credential-patterns.ts';

/**
 * Receives log lines in pino's argument order: fields first, then the message. `console` is a valid logger.
 *
 * @example
 * ```ts
 * const router = new TeamModelRouter({ storage, encryptionKeys, logger: pino() });
 * ```
 */
export interface Logger {
  debug?(fields: object, message: string): unknown;
  info(fields: object, message: string): unknown;
  warn(fields: object, message: string): unknown;
  error(fields: object, message: string): unknown;
}

export function isLogger(value: unknown): value is Logger {
  if (typeof value !== 'object' || value === null) return false;
  return ['info', 'warn', 'error'].every(
    (name) => typeof (value as Record<string, unknown>)[name] === 'function',
  );
}

export type LogLevel = keyof Logger;

/** All messages of the log with their levels. Operators match them, so a change of one is a breaking change. */
export const logMessages = {
  'call could not be handled': ['error'],
  'request could not be handled': ['error'],
  'storage failed': ['error'],
  'storage write failed': ['error'],
  'call failed': ['error', 'warn', 'debug'],
  'deployment cooling down': ['warn'],
  'host refused': ['warn'],
  'stored secrets cannot be decrypted; check the encryption keys': ['warn'],
  'stored records cannot be read': ['warn'],
  'storage cannot be watched': ['warn'],
  'affinity records dropped': ['warn'],
  'authentication failed': ['warn'],
  'address not allowed': ['warn'],
  'authenticate threw': ['warn'],
  'authenticate returned an invalid result': ['warn'],
  'onCall threw': ['warn'],
  'onUsage failed': ['warn'],
  'usage events dropped': ['warn'],
  'call succeeded after retry': ['error', 'info'],
  'storage recovered': ['info'],
  'storage writes recovered': ['info'],
} as const satisfies Record<string, readonly LogLevel[]>;

export type LogMessage = keyof typeof logMessages;

interface Line {
  level: LogLevel;
  fields: object;
  message: LogMessage;
  /** Runs a function in the asynchronous context of the line's cause, such as a request. */
  context: ReturnType<typeof AsyncLocalStorage.snapshot>;
}

const maxFrames = 10;

/**
 * Writes lines to the application's logger in a later tick, so that a slow or throwing logger does not affect calls.
 * Lines contain known fields only, never text of others such as a prompt or the message of a foreign error.
 */
export class Log {
  readonly #logger: Logger | undefined;
  #waiting: Line[] = [];

  constructor(logger: Logger | undefined) {
    this.#logger = logger;
  }

  /** Queues a line. Never throws. Drops a line whose fields cannot be read. */
  write<Message extends LogMessage>(
    level: (typeof logMessages)[Message][number],
    fields: object,
    message: Message,
  ): void {
    try {
      if (this.#logger?.[level] === undefined) return;
      const context = AsyncLocalStorage.snapshot();
      this.#waiting.push({ level, fields: redactFields(fields) as object, message, context });
    } catch {
      return;
    }
    if (this.#waiting.length === 1) setImmediate(() => this.#hand());
  }

  #hand(): void {
    const lines = this.#waiting;
    this.#waiting = [];
    for (const { level, fields, message, context } of lines) {
      try {
        const taken = context(() => this.#logger?.[level]?.(fields, message));
        // An unhandled rejection would end the process.
        if (taken instanceof Promise) taken.catch(() => {});
      } catch {
        // A failed log line cannot be reported anywhere.
      }
    }
  }
}

/**
 * Returns the fields of an error that may be logged. Omits the message of a foreign error, because it may quote any
 * text.
 */
export function describeError(error: unknown): object {
  if (RouterError.isInstance(error)) {
    const { name, code, message, hint, cause } = error;
    return {
      name,
      code,
      message,
      ...(hint === undefined ? {} : { hint }),
      ...(cause === undefined ? {} : { cause: describeError(cause) }),
    };
  }
  if (!(error instanceof Error)) return { name: typeof error };
  const { name, code } = error as Error & { code?: unknown };
  return { name: safeToken(name) ?? 'Error', ...(safeToken(code) && { code }), at: stackFrames(error) };
}

function safeToken(value: unknown): string | undefined {
  return typeof value === 'string' && /^[\w.-]{1,64}$/.test(value) ? value : undefined;
}

/** Returns the frames of a stack without its message, which may have any number of lines. */
function stackFrames({ stack, name, message }: Error): string[] {
  const head = message === '' ? name : `${name}: ${message}`;
  if (typeof stack !== 'string' || !stack.startsWith(head)) return [];
  return stack
    .slice(head.length)
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .slice(0, maxFrames)
    .map((line) => line.trim().slice(3, 259));
}

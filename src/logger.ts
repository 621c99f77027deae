import { AsyncLocalStorage } from 'node:async_hooks';
import { RouterError } from './errors.ts';
import { redactFields } from './redact/credential-patterns.ts';

/** Takes lines as pino does: fields first, then what happened. `console` will do. */
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

interface Line {
  level: LogLevel;
  fields: object;
  message: string;
  /** Runs something in the asynchronous context of the line's cause, such as a request. */
  context: ReturnType<typeof AsyncLocalStorage.snapshot>;
}

const maxFrames = 10;

/**
 * Lines for the application's logger, once whoever caused them has its answer: a logger that is slow, or throws, never
 * touches a call. They are made of known fields; what others have written, such as a prompt or an error's message, is none.
 */
export class Log {
  readonly #logger: Logger | undefined;
  #waiting: Line[] = [];

  constructor(logger: Logger | undefined) {
    this.#logger = logger;
  }

  /** Never throws. A line whose fields cannot be read is dropped. */
  write(level: LogLevel, fields: object, message: string): void {
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
        // A promise that rejects would end the process.
        if (taken instanceof Promise) taken.catch(() => {});
      } catch {
        // There is nowhere left to say it.
      }
    }
  }
}

/** What a line may say of an error: of a foreign one where it was thrown, and not its message, which could quote anything. */
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

/** The stack without the message that it begins with, which may have any number of lines. */
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

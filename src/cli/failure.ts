import { RouterError } from '../errors.ts';
import { UsageError } from './arguments.ts';

/** What the command prints when it fails, and the code that it ends with. */
export interface Failure {
  line: string;
  exitCode: number;
}

const needed = 'npm install openai hono @hono/node-server keyv @keyv/sqlite';

/** What the system says when the port or the data folder cannot be used, by the call that failed. */
const systemFaults: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  listen: {
    EADDRINUSE: 'is in use. Choose another one with --port or PORT.',
    EACCES: 'may not be used by this user. Choose one above 1023 with --port or PORT.',
    EADDRNOTAVAIL: 'is no address of this machine. Choose another one with --host or TMR_HOST.',
  },
  getaddrinfo: {
    ENOTFOUND: 'is no address and no known name. Choose another one with --host or TMR_HOST.',
    EAI_AGAIN: 'is no address and no known name. Choose another one with --host or TMR_HOST.',
  },
};
const fileFaults: Readonly<Record<string, string>> = {
  EACCES: 'may not be used by this user. Choose another folder with --data.',
  EPERM: 'may not be used by this user. Choose another folder with --data.',
  EROFS: 'is on a file system that is read-only. Choose another folder with --data.',
  EEXIST: 'is a file. Choose a folder with --data.',
  ENOTDIR: 'is not in a folder. Choose another folder with --data.',
  ENOENT: 'cannot be created. Choose another folder with --data.',
  ENOSPC: 'is on a file system that is full.',
};

/** Describes an error in one line, without a stack. */
export function describeFailure(error: unknown): Failure {
  const isSetting = RouterError.isInstance(error) && error.code === 'invalid_request';
  const isUsage = error instanceof UsageError;
  const text = oneLine(messageOf(error));
  if (!isUsage && !isSetting) return { line: text, exitCode: isUnusableHost(error) ? 2 : 1 };
  const sentence = /[.?!]$/.test(text) ? text : `${text}.`;
  return { line: `${sentence} See team-model-router --help.`, exitCode: isUsage ? 2 : 1 };
}

function isUnusableHost(error: unknown): boolean {
  const { code, syscall } = (error ?? {}) as Record<string, unknown>;
  return syscall === 'getaddrinfo' || (syscall === 'listen' && code === 'EADDRNOTAVAIL');
}

function messageOf(error: unknown): string {
  if (RouterError.isInstance(error)) return error.message;
  const { code, message, syscall, path, address, hostname, port } = (error ?? {}) as Record<string, unknown>;
  if (code === 'ERR_MODULE_NOT_FOUND') return `Something that the gateway is built on is missing. ${needed}`;
  const fault = systemFaults[String(syscall)]?.[String(code)];
  if (fault !== undefined) {
    const where = [address ?? hostname, port].filter((part) => part !== undefined).join(' port ');
    return `${where} ${fault} (${code})`;
  }
  if (typeof path === 'string' && Object.hasOwn(fileFaults, String(code)))
    return `${path} ${fileFaults[String(code)]} (${code})`;
  return typeof message === 'string' && message !== '' ? message : 'The gateway could not be started.';
}

function oneLine(text: string): string {
  return text.split(/\s*[\r\n]+\s*/).join(' ');
}

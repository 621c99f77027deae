import { RouterError } from '../errors.ts';
import { UsageError } from './arguments.ts';

/** The message and the exit code of a failed command. */
export interface Failure {
  line: string;
  exitCode: number;
}

const installCommand = 'npm install openai hono @hono/node-server keyv @keyv/sqlite';

/** Messages for system errors of the port and the address, by system call. */
const systemFaults: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  listen: {
    EADDRINUSE: 'is in use. Choose another one with --port or PORT.',
    EACCES: 'cannot be used by this user. Choose one above 1023 with --port or PORT.',
    EADDRNOTAVAIL: 'is not an address of this machine. Choose another one with --host or TMR_HOST.',
  },
  getaddrinfo: {
    ENOTFOUND: 'is neither an IP address nor a known name. Choose another one with --host or TMR_HOST.',
    EAI_AGAIN: 'is neither an IP address nor a known name. Choose another one with --host or TMR_HOST.',
  },
};
const fileFaults: Readonly<Record<string, string>> = {
  EACCES: 'cannot be used by this user. Choose another folder with --data.',
  EPERM: 'cannot be used by this user. Choose another folder with --data.',
  EROFS: 'is on a read-only file system. Choose another folder with --data.',
  EEXIST: 'is a file. Choose a folder with --data.',
  ENOTDIR: 'is not in a folder. Choose another folder with --data.',
  ENOENT: 'cannot be created. Choose another folder with --data.',
  ENOSPC: 'is on a full file system. Free space, or choose another folder with --data.',
};

/** Describes an error in one line without a stack. */
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
  if (code === 'ERR_MODULE_NOT_FOUND')
    return `A package of the gateway is not installed. Run ${installCommand}.`;
  const fault = systemFaults[String(syscall)]?.[String(code)];
  if (fault !== undefined) {
    const where = [address ?? hostname, port].filter((part) => part !== undefined).join(' port ');
    return `${where} ${fault} (${code})`;
  }
  if (typeof path === 'string' && Object.hasOwn(fileFaults, String(code)))
    return `${path} ${fileFaults[String(code)]} (${code})`;
  return typeof message === 'string' && message !== '' ? message : 'The gateway cannot be started.';
}

function oneLine(text: string): string {
  return text.split(/\s*[\r\n]+\s*/).join(' ');
}

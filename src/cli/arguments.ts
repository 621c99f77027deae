import { parseArgs } from 'node:util';
import { RouterError } from '../errors.ts';
import { nearest } from '../validation.ts';

export const usage = `Usage: team-model-router serve [options]
       team-model-router --version

  --port PORT             default 4000
  --host HOST             default 127.0.0.1
  --data FOLDER           where models and keys are kept; default ./team-models
  --storage URL           redis://..., postgres://... (shared by any number of gateways) or sqlite:FILE;
                          default sqlite:FOLDER/models.sqlite
  --egress-allow ENTRY    an address that models may have beside public https ones, such as llm.internal:8000,
                          10.0.0.0/8, *.svc.cluster.local or http://127.0.0.1:8080; may be given more than once
  --drain-timeout SECONDS how long open calls may take to end after SIGTERM or SIGINT; default 25. A second signal ends
                          the process without waiting

Environment:
  TMR_MASTER_KEY          the master key, 32 characters or more; else it is read from, or made in, the data folder
  TMR_ENCRYPTION_KEYS     id:key,id:key with keys of 32 bytes in base64, the first one seals, or as JSON,
                          [{"id":"...","key":"..."}]; else as above
  TMR_STORAGE             as --storage, for a URL with a password in it
  TMR_EGRESS_ALLOW        entries as above, separated by commas`;

export interface ServeSettings {
  port: number;
  host: string;
  /** The folder of the SQLite file and the key files. */
  data: string;
  /** A URL; `undefined` for the SQLite file in the folder. */
  storage: string | undefined;
  egressAllow: string[];
  /** Milliseconds that open calls may take to end. */
  drainTimeoutMs: number;
  masterKey: string | undefined;
  encryptionKeys: string | undefined;
}

const options = {
  port: { type: 'string', default: '4000' },
  host: { type: 'string', default: '127.0.0.1' },
  data: { type: 'string', default: './team-models' },
  storage: { type: 'string' },
  'egress-allow': { type: 'string', multiple: true, default: [] as string[] },
  'drain-timeout': { type: 'string', default: '25' },
  help: { type: 'boolean', short: 'h', default: false },
  version: { type: 'boolean', default: false },
} as const;

/** @throws RouterError `invalid_request` that says what is wrong with the command line */
export function readArguments(
  given: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): ServeSettings | 'help' | 'version' {
  const { values, positionals } = parseGiven(given);
  if (values.version) return 'version';
  if (values.help || (positionals.length === 0 && given.length === 0)) return 'help';
  if (positionals.length !== 1 || positionals[0] !== 'serve') throw refusal('The command is: serve.');
  if (!/^\d{1,5}$/.test(values.port) || Number(values.port) > 65_535) {
    throw refusal('--port must be a number up to 65535.');
  }
  const seconds = values['drain-timeout'];
  if (!/^\d{1,5}$/.test(seconds) || Number(seconds) > 86_400) {
    throw refusal('--drain-timeout must be a whole number of seconds up to 86400.');
  }
  const listed = (environment.TMR_EGRESS_ALLOW ?? '').split(',');
  return {
    port: Number(values.port),
    host: values.host,
    data: values.data,
    storage: values.storage ?? (environment.TMR_STORAGE || undefined),
    egressAllow: [...values['egress-allow'], ...listed.map((entry) => entry.trim()).filter(Boolean)],
    drainTimeoutMs: Number(seconds) * 1000,
    masterKey: environment.TMR_MASTER_KEY || undefined,
    encryptionKeys: environment.TMR_ENCRYPTION_KEYS || undefined,
  };
}

function parseGiven(given: readonly string[]) {
  try {
    return parseArgs({ args: [...given], options, allowPositionals: true });
  } catch (error) {
    throw refusal(explained(error));
  }
}

/** Node's own words, without its advice on options that are none. */
function explained(error: unknown): string {
  const message = error instanceof Error ? error.message : 'It cannot be read.';
  const unknown = /^Unknown option '--([^']*)'/.exec(message)?.[1];
  if (unknown === undefined) return message;
  const near = nearest(unknown, Object.keys(options));
  return `Unknown option --${unknown}.${near === undefined ? '' : ` Did you mean --${near}?`}`;
}

function refusal(message: string): RouterError {
  return new RouterError('invalid_request', `${message}\n\n${usage}`);
}

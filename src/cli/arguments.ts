import { nearest } from '../did-you-mean.ts';

export const usage = `Usage: team-model-router serve [options]
       team-model-router --help | --version

  --port PORT             0 to 65535, 0 for any free port; default 4000
  --host HOST             address to listen on; default 127.0.0.1, which only this machine can reach
  --data FOLDER           folder of the models and the keys; default ./team-models
  --storage URL           redis://..., postgres://... (any number of gateways can share them) or sqlite:FILE;
                          default sqlite:FOLDER/models.sqlite
  --egress-allow ENTRY    address that models may use in addition to public https ones, such as llm.internal:8000,
                          10.0.0.0/8, *.svc.cluster.local or http://127.0.0.1:8080; can be repeated
  --drain-timeout SECONDS time for open calls to end after SIGTERM or SIGINT; default 25. A second signal ends the
                          process immediately
  -h, --help              prints this text
  --version               prints the version

Environment. An option has priority over its variable, except that TMR_EGRESS_ALLOW adds to --egress-allow:
  PORT                    same as --port
  TMR_HOST                same as --host
  TMR_MASTER_KEY          master key of at least 32 characters; default: a file in the data folder, created if absent
  TMR_ENCRYPTION_KEYS     id:key,id:key or JSON [{"id":"...","key":"..."}], with keys of 32 bytes in base64; the first
                          key seals; default: a file in the data folder, created if absent
  TMR_STORAGE             same as --storage, for a URL with a password
  TMR_EGRESS_ALLOW        entries as above, separated by commas

Errors are written to stderr as JSON lines.
Exit codes: 0 graceful shutdown, 1 the start or the shutdown failed, 2 invalid command line.`;

export interface ServeSettings {
  port: number;
  host: string;
  /** The folder of the SQLite file and of the key files. */
  data: string;
  /** A URL; `undefined` for the SQLite file in the folder. */
  storage: string | undefined;
  egressAllow: string[];
  /** Milliseconds that open calls may take to end. */
  drainTimeoutMs: number;
  masterKey: string | undefined;
  encryptionKeys: string | undefined;
}

/** Options of the command and the number of their values. */
const options = {
  port: 'one',
  host: 'one',
  data: 'one',
  storage: 'one',
  'egress-allow': 'many',
  'drain-timeout': 'one',
  help: 'flag',
  version: 'flag',
} as const;

type OptionName = keyof typeof options;

/** An invalid command line. The message is one line. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * Parses the command line and the environment.
 *
 * @throws UsageError that lists every mistake
 */
export function readArguments(
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): ServeSettings | 'help' | 'version' {
  const { values, positionals, problems } = parseLine(words);
  if (values.has('help') || words.length === 0 || positionals[0] === 'help') return 'help';
  if (values.has('version') && problems.length === 0) return 'version';
  // An argument after an unknown option may be its value.
  if (problems.length === 0 || !positionals.includes('serve'))
    problems.unshift(...commandProblems(positionals));
  const one = (name: OptionName, variable?: string) =>
    values.get(name)?.[0] ?? ((variable && environment[variable]) || undefined);
  const port = one('port', 'PORT') ?? '4000';
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    problems.push(`${values.has('port') ? '--port' : 'PORT'}: must be a number from 0 to 65535.`);
  }
  const seconds = one('drain-timeout') ?? '25';
  if (!/^\d{1,5}$/.test(seconds) || Number(seconds) > 86_400) {
    problems.push('--drain-timeout: must be a whole number of seconds, at most 86400.');
  }
  if (problems.length > 0) throw new UsageError(problems.join(' '));
  const listed = (environment.TMR_EGRESS_ALLOW ?? '').split(',');
  return {
    port: Number(port),
    host: one('host', 'TMR_HOST') ?? '127.0.0.1',
    data: one('data') ?? './team-models',
    storage: one('storage', 'TMR_STORAGE'),
    egressAllow: [
      ...(values.get('egress-allow') ?? []),
      ...listed.map((entry) => entry.trim()).filter(Boolean),
    ],
    drainTimeoutMs: Number(seconds) * 1000,
    masterKey: environment.TMR_MASTER_KEY || undefined,
    encryptionKeys: environment.TMR_ENCRYPTION_KEYS || undefined,
  };
}

function commandProblems(positionals: readonly string[]): string[] {
  const [command, ...more] = positionals;
  const quoted = (text: string) => JSON.stringify(text.slice(0, 64));
  if (command === undefined) return ['The command is missing. The command is serve.'];
  if (command !== 'serve') return [`Unknown command ${quoted(command)}. The command is serve.`];
  return more.length === 0
    ? []
    : [`Unknown argument ${quoted(more[0] ?? '')}. The command serve takes options only.`];
}

interface ParsedLine {
  /** A flag has an empty list. */
  values: Map<OptionName, string[]>;
  positionals: string[];
  problems: string[];
}

/** Parses all options. Node's `parseArgs` stops at the first mistake, and its messages are for developers. */
function parseLine(words: readonly string[]): ParsedLine {
  const values: ParsedLine['values'] = new Map();
  const positionals: string[] = [];
  const problems: string[] = [];
  const rest = [...words];
  for (let text = rest.shift(); text !== undefined; text = rest.shift()) {
    if (text === '--') positionals.push(...rest.splice(0));
    else if (!/^-./.test(text)) positionals.push(text);
    else {
      const [rawName = '', inline] = text.split(/=(.*)/s, 2);
      const name = rawName === '-h' ? 'help' : rawName.startsWith('--') ? rawName.slice(2) : '';
      const kind = Object.hasOwn(options, name) ? options[name as OptionName] : undefined;
      if (kind === undefined) problems.push(unknown(rawName));
      else if (kind === 'flag') {
        if (inline === undefined) values.set(name as OptionName, []);
        else problems.push(`${rawName}: takes no value.`);
      } else {
        const value = inline ?? (/^-(?!\d)/.test(rest[0] ?? '-') ? '' : rest.shift());
        const before = values.get(name as OptionName);
        if (!value) problems.push(`${rawName}: requires a value.`);
        else if (before !== undefined && kind === 'one') problems.push(`${rawName}: must be set once.`);
        values.set(name as OptionName, [...(before ?? []), ...(value ? [value] : [])]);
      }
    }
  }
  return { values, positionals, problems };
}

/** @param rawName the option as written, with its dashes */
function unknown(rawName: string): string {
  const names = Object.keys(options);
  const isLong = rawName.startsWith('--');
  // A group of letters such as -p4000 is one mistake.
  const shown = isLong ? rawName.slice(0, 64) : rawName.slice(0, 2);
  const near = isLong
    ? nearest(rawName.slice(2), names)
    : names.find((name) => name.startsWith(shown.slice(1)));
  return `Unknown option ${shown}.${near === undefined ? '' : ` Did you mean --${near}?`}`;
}

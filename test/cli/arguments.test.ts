import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readArguments, UsageError, usage } from '../../src/cli/arguments.ts';
import { describeFailure } from '../../src/cli/failure.ts';
import { runs } from '../support/runs.ts';

describe('the command line', () => {
  it('has defaults that listen on loopback only', () => {
    expect(readArguments(['serve'], {})).toEqual({
      port: 4000,
      host: '127.0.0.1',
      data: './team-models',
      egressAllow: [],
      drainTimeoutMs: 25_000,
      masterKey: undefined,
      encryptionKeys: undefined,
    });
  });

  it('takes options and variables', () => {
    const environment = {
      TMR_EGRESS_ALLOW: '10.0.0.0/8, *.svc.cluster.local,',
      TMR_MASTER_KEY: 'm',
      TMR_ENCRYPTION_KEYS: 'k:x',
    };
    const given =
      'serve --port 0 --host ::1 --data d --egress-allow a:1 --egress-allow b --drain-timeout 60'.split(' ');
    expect(readArguments(given, environment)).toEqual({
      port: 0,
      host: '::1',
      data: 'd',
      egressAllow: ['a:1', 'b', '10.0.0.0/8', '*.svc.cluster.local'],
      drainTimeoutMs: 60_000,
      masterKey: 'm',
      encryptionKeys: 'k:x',
    });
    expect(readArguments(['--port=5', '--data=-odd', 'serve'], {})).toMatchObject({ port: 5, data: '-odd' });
  });

  it('takes PORT, TMR_HOST and TMR_STORAGE, and an option wins over them', () => {
    const environment = { PORT: '8080', TMR_HOST: '0.0.0.0', TMR_STORAGE: 'sqlite:a' };
    const expected = { port: 8080, host: '0.0.0.0', storage: 'sqlite:a' };
    expect(readArguments(['serve'], environment)).toMatchObject(expected);
    const given = 'serve --port 1 --host ::1 --storage sqlite:b'.split(' ');
    expect(readArguments(given, environment)).toMatchObject({ port: 1, host: '::1', storage: 'sqlite:b' });
    expect(readArguments(['serve'], { PORT: '', TMR_HOST: '' })).toMatchObject({
      port: 4000,
      host: '127.0.0.1',
    });
    // What some shells export is a name of the machine, which anybody can reach.
    expect(readArguments(['serve'], { HOST: 'my-machine' })).toMatchObject({ host: '127.0.0.1' });
  });

  it.each([[[]], [['--help']], [['serve', '-h']], [['help']], [['serve', '--prot', '--help']]])(
    '%j asks for help',
    (given) => {
      expect(readArguments(given, {})).toBe('help');
    },
  );

  it('asks for the version', () => {
    expect(readArguments(['--version'], {})).toBe('version');
  });

  it.each<[string, string]>([
    ['serve --prot 1', 'Unknown option --prot. Did you mean --port?'],
    ['serve --colour', 'Unknown option --colour.'],
    ['serve --Port=1', 'Unknown option --Port. Did you mean --port?'],
    ['serve -p 4000', 'Unknown option -p. Did you mean --port?'],
    ['serve -p4000', 'Unknown option -p. Did you mean --port?'],
    ['serve -x', 'Unknown option -x.'],
    ['-v', 'The command is missing. The command is serve. Unknown option -v. Did you mean --version?'],
    ['serve --port x', '--port: must be a number from 0 to 65535.'],
    ['serve --port 65536', '--port: must be a number from 0 to 65535.'],
    ['serve --port -1', '--port: must be a number from 0 to 65535.'],
    ['serve --port 1e3', '--port: must be a number from 0 to 65535.'],
    ['serve --port', '--port: requires a value.'],
    ['serve --port --host x', '--port: requires a value.'],
    ['serve --data=', '--data: requires a value.'],
    ['serve --data', '--data: requires a value.'],
    ['serve --egress-allow', '--egress-allow: requires a value.'],
    ['serve --port 1 --port 2', '--port: must be set once.'],
    ['serve --help=yes', '--help: takes no value.'],
    ['serve --version=1', '--version: takes no value.'],
    ['serve --drain-timeout 1.5', '--drain-timeout: must be a whole number of seconds, at most 86400.'],
    ['serve --drain-timeout 86401', '--drain-timeout: must be a whole number of seconds, at most 86400.'],
    ['start', 'Unknown command "start". The command is serve.'],
    ['serve more', 'Unknown argument "more". The command serve takes options only.'],
    ['--port 1', 'The command is missing. The command is serve.'],
    [
      'serve --prot 1 --host --data a --data b',
      'Unknown option --prot. Did you mean --port? --host: requires a value. --data: must be set once.',
    ],
  ])('%j is refused in one line that says why', (given, message) => {
    let error: unknown;
    try {
      readArguments(given.split(' '), {});
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(UsageError);
    expect((error as Error).message).toBe(message);
    expect(describeFailure(error)).toEqual({
      line: `${message} See team-model-router --help.`,
      exitCode: 2,
    });
  });

  it('names the variable whose port is no number', () => {
    expect(() => readArguments(['serve'], { PORT: 'http' })).toThrow(
      'PORT: must be a number from 0 to 65535.',
    );
  });

  it('reads any line, or refuses it in one line', () => {
    const word = fc.oneof(
      fc.constantFrom(
        'serve',
        '--port',
        '--host',
        '--data=',
        '-p',
        '--',
        '-',
        '--egress-allow',
        '=',
        '--help=1',
      ),
      fc.string({ maxLength: 8 }),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (given) => {
        try {
          readArguments(given, {});
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
          const { line, exitCode } = describeFailure(error);
          expect(exitCode).toBe(2);
          expect(line).not.toMatch(/[\r\n]/);
        }
      }),
      { numRuns: runs(2_000) },
    );
  });
});

describe('--help', () => {
  const source = readFileSync(new URL('../../src/cli/arguments.ts', import.meta.url), 'utf8');

  it('names every option and every variable that the command reads', () => {
    const options = [...source.matchAll(/^ {2}'?([a-z-]+)'?: '(?:one|many|flag)',$/gm)].map(
      ([, name]) => `--${name}`,
    );
    const variables = new Set([...source.matchAll(/\b(TMR_[A-Z_]+|PORT)\b/g)].map(([name]) => name));
    expect(options).toHaveLength(8);
    for (const name of [...options, ...variables]) expect(usage).toContain(name);
    expect(variables.size).toBe(6);
  });

  it('tells the defaults that hold', () => {
    const { port, host, data } = readArguments(['serve'], {}) as { port: number; host: string; data: string };
    for (const value of ['default 25', `default ${port}`, `default ${host}`, `default ${data}`])
      expect(usage).toContain(value);
  });

  it('fits a terminal', () => {
    for (const line of usage.split('\n')) expect(line.length).toBeLessThan(130);
  });
});

describe('a failure to start', () => {
  it.each<[Record<string, unknown>, string]>([
    [
      { code: 'EADDRINUSE', syscall: 'listen', address: '127.0.0.1', port: 4000 },
      '127.0.0.1 port 4000 is in use. Choose another one with --port or PORT. (EADDRINUSE)',
    ],
    [
      { code: 'EACCES', syscall: 'listen', address: '0.0.0.0', port: 80 },
      '0.0.0.0 port 80 cannot be used by this user. Choose one above 1023 with --port or PORT. (EACCES)',
    ],
    [
      { code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'nowhere.test' },
      'nowhere.test is neither an IP address nor a known name. Choose another one with --host or TMR_HOST. (ENOTFOUND)',
    ],
    [
      { code: 'EACCES', syscall: 'mkdir', path: '/root/x' },
      '/root/x cannot be used by this user. Choose another folder with --data. (EACCES)',
    ],
    [{ message: 'one\n    at two' }, 'one at two'],
  ])('%j is one line', (fields, line) => {
    const error = Object.assign(new Error('no'), fields);
    expect(describeFailure(error)).toEqual({ line, exitCode: line.includes('--host') ? 2 : 1 });
  });
});

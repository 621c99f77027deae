import { describe, expect, it } from 'vitest';
import { readArguments } from '../../src/cli/arguments.ts';

describe('the command line', () => {
  it('has defaults that reach nobody else', () => {
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
    const given = [
      'serve',
      '--port',
      '0',
      '--host',
      '::1',
      '--data',
      'd',
      '--egress-allow',
      'a:1',
      '--egress-allow',
      'b',
      '--drain-timeout',
      '60',
    ];
    expect(readArguments(given, environment)).toEqual({
      port: 0,
      host: '::1',
      data: 'd',
      egressAllow: ['a:1', 'b', '10.0.0.0/8', '*.svc.cluster.local'],
      drainTimeoutMs: 60_000,
      masterKey: 'm',
      encryptionKeys: 'k:x',
    });
  });

  it.each([[[]], [['--help']], [['serve', '-h']]])('%j asks for help', (given) => {
    expect(readArguments(given, {})).toBe('help');
  });

  it('asks for the version', () => {
    expect(readArguments(['--version'], {})).toBe('version');
  });

  it.each<[string[], string | RegExp]>([
    [['serve', '--prot', '1'], /^Unknown option --prot\. Did you mean --port\?\n/],
    [['serve', '--colour'], /^Unknown option --colour\.\n/],
    [['serve', '--port', 'x'], '--port'],
    [['serve', '--port', '65536'], '--port'],
    [['serve', '--drain-timeout', '1.5'], '--drain-timeout'],
    [['serve', '--drain-timeout', '86401'], '--drain-timeout'],
    [['start'], 'The command is'],
    [['serve', 'more'], 'The command is'],
  ])('%j is refused, and says why', (given, message) => {
    expect(() => readArguments(given, {})).toThrow(message);
  });
});

import { afterEach, expect, it } from 'vitest';
import { usage } from '../../src/cli/arguments.ts';
import { type ServeProcess, startCommand } from '../support/serve-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const newPath = temporaryFolder();
const running: ServeProcess[] = [];
const start = (args: string[], environment: Record<string, string> = {}) => {
  const started = startCommand(args, environment);
  running.push(started);
  return started;
};

afterEach(async () => {
  for (const started of running.splice(0)) {
    started.child.kill('SIGKILL');
    await started.ended;
  }
});

it.each([
  [['serve', '--prot', '1'], 'Unknown option --prot. Did you mean --port?'],
  [['serve', '-p', '1'], 'Unknown option -p. Did you mean --port?'],
  [['serve', '--port'], '--port: requires a value.'],
  [['strat'], 'Unknown command "strat". The command is serve.'],
])('%j ends with code 2 and one line', async (given, message) => {
  const started = start(given);
  expect(await started.ended).toBe(2);
  expect(started.output()).toBe(`${message} See team-model-router --help.\n`);
});

it('a storage that does not exist ends with code 2 and one line, without the URL', async () => {
  const started = start(['serve', '--data', newPath('data'), '--storage', 'mysql://me:secret-word@db/x']);
  expect(await started.ended).toBe(2);
  expect(started.output()).toMatch(/^--storage: must be [^\n]+ See team-model-router --help\.\n$/);
  expect(started.output()).not.toContain('secret-word');
});

it('a setting that is wrong ends with code 1 and one line', async () => {
  const started = start(['serve', '--data', newPath('data')], { TMR_MASTER_KEY: 'short' });
  expect(await started.ended).toBe(1);
  expect(started.output()).toMatch(
    /^masterKey: [^\n]+\(from TMR_MASTER_KEY\)\. See team-model-router --help\.\n$/,
  );
});

it('--help is printed to stdout, and ends with code 0', async () => {
  const started = start(['--help']);
  expect(await started.ended).toBe(0);
  expect(started.output()).toBe(`${usage}\n`);
});

it('PORT and TMR_HOST say where it listens', async () => {
  const started = start(['serve', '--data', newPath('data')], { PORT: '0', TMR_HOST: '127.0.0.2' });
  expect(await started.listening).toMatch(/^http:\/\/127\.0\.0\.2:\d+$/);
  expect(await started.listening).not.toMatch(/:4000$/);
});

/**
 * Checks the packed tarball as a user gets it: publint, are-the-types-wrong, and the first example of docs/guides/calls.md in a
 * scratch project that has nothing but the tarball, openai and TypeScript: under ESM, CJS and tsc --strict.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { recordingProvider } from '../support/recording-provider.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'team-model-router-package-'));
const versions = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages as Record<
  string,
  { version: string }
>;
const installed = (name: string) => `${name}@${versions[`node_modules/${name}`]?.version}`;

function run(command: string, args: string[], cwd: string, environment: NodeJS.ProcessEnv = {}): string {
  return execFileSync(command, args, { cwd, encoding: 'utf8', env: { ...process.env, ...environment } });
}

function step(name: string, action: () => void): void {
  action();
  console.log(`ok  ${name}`);
}

const acme = await recordingProvider();
const globex = await recordingProvider();

try {
  run('npm', ['pack', '--pack-destination', scratch], root);
  const tarball = join(scratch, readdirSync(scratch).find((file) => file.endsWith('.tgz')) ?? '');

  step('the tarball holds what it should, and nothing else', () => {
    const files = run('tar', ['-tzf', tarball], scratch).trim().split('\n');
    const strange = files.filter(
      (file) =>
        !/^package\/(dist\/|docs\/([a-z-]+\/)?[a-z-]+\.md$|examples\/[a-z-]+\.(ts|sh)$|package\.json$|README\.md$|LICENSE$|SECURITY\.md$)/.test(
          file,
        ),
    );
    if (strange.length > 0) throw new Error(`unexpected: ${strange.join(', ')}`);
    const { scripts } = JSON.parse(run('tar', ['-xzOf', tarball, 'package/package.json'], scratch));
    for (const script of ['preinstall', 'install', 'postinstall']) {
      if (script in scripts) throw new Error(`the package has a script ${script}`);
    }
  });
  step('publint', () => run('npx', ['publint', '--strict', tarball], root));
  step('are the types wrong', () => run('npx', ['attw', '--profile', 'node16', tarball], root));

  const project = join(scratch, 'project');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "scratch", "private": true }');
  const packages = [tarball, ...['openai', 'typescript', '@types/node'].map(installed)];
  run('npm', ['install', '--no-audit', '--no-fund', '--omit=optional', ...packages], project);

  step('no driver and no framework comes along', () => {
    const present = readdirSync(join(project, 'node_modules'));
    for (const name of ['keyv', '@keyv', 'sqlite3', 'hono', 'redis', 'pg']) {
      if (present.includes(name)) throw new Error(`${name} was installed`);
    }
  });

  const page = readFileSync(join(root, 'docs/guides/calls.md'), 'utf8');
  const example = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  const plain = example.replaceAll(' as const', '');
  writeFileSync(join(project, 'example.ts'), example);
  writeFileSync(join(project, 'example.mjs'), plain);
  writeFileSync(
    join(project, 'example.cjs'),
    `(async () => {\n${plain.replace(/import (\{.*?\}) from '(.*?)';/gs, "const $1 = require('$2');")}\n})();\n`,
  );
  writeFileSync(
    join(project, 'optional.mjs'),
    "import { sqliteStorage } from 'team-model-router/storage/sqlite';\n" +
      "sqliteStorage('x.sqlite').get('team/a').catch((error) => console.log(error.message));\n",
  );

  const environment = {
    ACME_KEY: 'sk-acme-0123456789abcdef',
    ACME_BASE: acme.url,
    GLOBEX_KEY: 'globex-0123456789abcdef',
    GLOBEX_BASE: globex.url,
    EGRESS_ALLOW: `${acme.url},${globex.url}`,
  };
  const { execFile } = await import('node:child_process');
  const { promisify } = await import('node:util');
  for (const file of ['example.mjs', 'example.cjs']) {
    const options = { cwd: project, env: { ...process.env, ...environment } };
    const { stdout } = await promisify(execFile)(process.execPath, [file], options);
    if (!/^acme .+\nglobex .+\n$/.test(stdout)) throw new Error(`${file} printed ${stdout}`);
    console.log(`ok  ${file}`);
  }
  const keys = [
    acme.requests.map(({ headers }) => headers.authorization),
    globex.requests.map(({ headers }) => headers['api-key']),
  ];
  const expected = [
    Array(2).fill('Bearer sk-acme-0123456789abcdef'),
    Array(2).fill('globex-0123456789abcdef'),
  ];
  if (JSON.stringify(keys) !== JSON.stringify(expected))
    throw new Error(`keys arrived as ${JSON.stringify(keys)}`);

  for (const [module, resolution] of [
    ['NodeNext', 'NodeNext'],
    ['ESNext', 'Bundler'],
  ] as const) {
    step(`tsc --strict, ${resolution}, every declaration checked`, () => {
      writeFileSync(
        join(project, 'package.json'),
        '{ "name": "scratch", "private": true, "type": "module" }',
      );
      const target = ['--target', 'es2022', '--module', module, '--moduleResolution', resolution];
      run(
        'npx',
        ['tsc', '--strict', '--noEmit', '--skipLibCheck', 'false', ...target, 'example.ts'],
        project,
      );
    });
  }
  step('a missing driver says what to install', () => {
    const output = run(process.execPath, ['optional.mjs'], project);
    if (!output.includes('npm install keyv @keyv/sqlite')) throw new Error(`it said: ${output}`);
  });
} catch (error) {
  const { stdout, stderr } = error as { stdout?: string; stderr?: string };
  console.error(error instanceof Error ? error.message : error, stdout ?? '', stderr ?? '');
  process.exitCode = 1;
} finally {
  await Promise.all([acme.close(), globex.close()]);
  rmSync(scratch, { recursive: true, force: true });
}

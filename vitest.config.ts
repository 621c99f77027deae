import { fileURLToPath } from 'node:url';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { packageEntries } from './package-entries.ts';
import { globs, projects } from './test/projects.ts';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

function project(name: string, test: TestProjectInlineConfiguration['test']): TestProjectInlineConfiguration {
  return { extends: true, test: { name, ...test } };
}

const listed = globs(Object.values(projects).flat());

// With TMR_TEST_BUILT=1 the tests of public behaviour run against the built package.
const built = process.env.TMR_TEST_BUILT === '1';
export default defineConfig({
  resolve: {
    alias: Object.entries(packageEntries).map(([subpath, { source, output }]) => ({
      find: new RegExp(`^team-model-router${subpath.slice(1)}$`),
      replacement: at(built ? `dist/${output}.js` : source),
    })),
  },
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // One more than the cores of a small machine, because many tests wait for a socket or a process.
    maxWorkers: 3,
    // The files of `unit` and `http` share the modules that they load, which costs more than most of them.
    projects: [
      project('unit', { include: globs(projects.unit), pool: 'threads', isolate: false }),
      project('http', {
        include: ['test/**/*.test.ts'],
        exclude: ['test/long/**', ...listed],
        isolate: false,
      }),
      project('storage', { include: globs(projects.storage), globalSetup: ['test/support/servers.ts'] }),
      project('process', { include: globs(projects.process) }),
    ],
  },
});

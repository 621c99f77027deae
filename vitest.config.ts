import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { packageEntries } from './package-entries.ts';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

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
    include: ['test/**/*.test.ts'],
    exclude: ['test/long/**'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // vitest itself would leave one core free: of two that is half.
    maxWorkers: 2,
    globalSetup: ['test/fixtures/servers.ts'],
  },
});

import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// With TMR_TEST_BUILT=1 the tests of public behaviour run against the built package.
const built = process.env.TMR_TEST_BUILT === '1';
const entries = {
  'team-model-router/storage/sqlite': ['src/storage/sqlite.ts', 'dist/storage/sqlite.js'],
  'team-model-router/storage/redis': ['src/storage/redis.ts', 'dist/storage/redis.js'],
  'team-model-router/storage/postgres': ['src/storage/postgres.ts', 'dist/storage/postgres.js'],
  'team-model-router/storage/keyv': ['src/storage/keyv.ts', 'dist/storage/keyv.js'],
  'team-model-router/http/node': ['src/http/node.ts', 'dist/http/node.js'],
  'team-model-router/http/express': ['src/http/express.ts', 'dist/http/express.js'],
  'team-model-router/http/fastify': ['src/http/fastify.ts', 'dist/http/fastify.js'],
  'team-model-router/http': ['src/http/gateway.ts', 'dist/http/index.js'],
  'team-model-router/testing': ['src/storage/conformance.ts', 'dist/testing.js'],
  'team-model-router': ['src/index.ts', 'dist/index.js'],
} as const;

export default defineConfig({
  resolve: {
    alias: Object.entries(entries).map(([name, [source, output]]) => ({
      find: new RegExp(`^${name}$`),
      replacement: at(built ? output : source),
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

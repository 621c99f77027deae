import { defineConfig } from 'tsup';

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    'storage/keyv': 'src/storage/keyv.ts',
    'storage/sqlite': 'src/storage/sqlite.ts',
    'storage/redis': 'src/storage/redis.ts',
    'storage/postgres': 'src/storage/postgres.ts',
    testing: 'src/storage/conformance.ts',
    'http/index': 'src/http/gateway.ts',
    'http/node': 'src/http/node.ts',
    'http/express': 'src/http/express.ts',
    'http/fastify': 'src/http/fastify.ts',
    'cli/main': 'src/cli/main.ts',
  },
  format: ['esm', 'cjs'],
  target: 'node20',
  platform: 'node',
  // One RouterError for all entries of a format.
  splitting: true,
  dts: true,
  clean: true,
  sourcemap: false,
  treeshake: true,
});

/** The package's entries, by subpath: tsup, vitest and the tests of the package read this list. */
export const packageEntries = {
  '.': { source: 'src/index.ts', output: 'index' },
  './storage/keyv': { source: 'src/storage/keyv/index.ts', output: 'storage/keyv' },
  './storage/sqlite': { source: 'src/storage/sqlite/index.ts', output: 'storage/sqlite' },
  './storage/redis': { source: 'src/storage/redis/index.ts', output: 'storage/redis' },
  './storage/postgres': { source: 'src/storage/postgres/index.ts', output: 'storage/postgres' },
  './http': { source: 'src/http/index.ts', output: 'http/index' },
  './http/node': { source: 'src/http/adapters/node.ts', output: 'http/node' },
  './http/express': { source: 'src/http/adapters/express.ts', output: 'http/express' },
  './http/fastify': { source: 'src/http/adapters/fastify.ts', output: 'http/fastify' },
  './testing': { source: 'src/testing.ts', output: 'testing' },
} as const;

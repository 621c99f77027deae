import { defineConfig } from 'tsup';

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    'storage/keyv': 'src/storage/keyv.ts',
    'storage/sqlite': 'src/storage/sqlite.ts',
    testing: 'src/storage/conformance.ts',
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

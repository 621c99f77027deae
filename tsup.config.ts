import { defineConfig } from 'tsup';
import { packageEntries } from './package-entries.ts';

export default defineConfig({
  entry: {
    ...Object.fromEntries(Object.values(packageEntries).map(({ output, source }) => [output, source])),
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

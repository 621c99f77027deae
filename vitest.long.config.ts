import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';

const { projects: _, ...test } = base.test ?? {};

// Soaks, long histories and kill loops.
export default defineConfig({
  ...base,
  test: {
    ...test,
    include: ['test/long/**/*.test.ts'],
    globalSetup: ['test/support/servers.ts'],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    fileParallelism: false,
  },
});

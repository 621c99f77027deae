import { mergeConfig } from 'vitest/config';
import base from './vitest.config.ts';

// Soaks, long histories and kill loops.
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  {
    test: {
      include: ['test/long/**/*.test.ts'],
      testTimeout: 600_000,
      hookTimeout: 600_000,
      fileParallelism: false,
    },
  },
);

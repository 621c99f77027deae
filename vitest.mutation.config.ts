import { defineConfig, mergeConfig } from 'vitest/config';
import areas from './test/mutation-areas.json' with { type: 'json' };
import { globs } from './test/projects.ts';
import base from './vitest.config.ts';

const { projects: _, ...test } = base.test ?? {};
const { tests } = areas[process.env.MUTATION_AREA as keyof typeof areas];

export default mergeConfig(
  { ...base, test },
  defineConfig({ test: { include: globs(tests), pool: 'threads', testTimeout: 10_000 } }),
);

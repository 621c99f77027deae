import { readFileSync } from 'node:fs';

/**
 * What is mutated, by area, and the tests that have to notice. A run repeats these tests for every mutant, so a test that starts
 * a process is not listed. `src/egress/special-addresses.ts` is not mutated, because a test checks each row of its table.
 */
const areas = JSON.parse(readFileSync(new URL('test/mutation-areas.json', import.meta.url), 'utf8'));

const name = process.env.MUTATION_AREA ?? '';
if (areas[name] === undefined)
  throw new Error(`MUTATION_AREA: "${name}" is unknown. Use one of ${Object.keys(areas).join(', ')}.`);

export default {
  mutate: areas[name].mutate,
  testRunner: 'vitest',
  vitest: { configFile: 'vitest.mutation.config.ts', related: false },
  coverageAnalysis: 'perTest',
  concurrency: 2,
  incremental: true,
  incrementalFile: `.tmp/mutation/${name}.json`,
  tempDirName: '.tmp/stryker',
  reporters: ['clear-text', 'progress-append-only', 'json'],
  jsonReporter: { fileName: `.tmp/mutation/${name}-report.json` },
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  thresholds: { high: 95, low: 90, break: 90 },
  ignorePatterns: ['.bench', 'dist', 'docs', 'examples', 'team-models'],
  // Milliseconds, because some mutants never give an answer that a test waits for.
  timeoutMS: 15_000,
};

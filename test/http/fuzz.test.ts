import { it } from 'vitest';
import { checkReport, fuzz } from '../support/gateway-fuzz.ts';
import { runs } from '../support/runs.ts';

const count = runs(2_000, 500);

// test/long throws 10 000.
it(`${count} requests of every kind get an answer of ours, and team B notices nothing`, async () => {
  checkReport(await fuzz(count), 0);
});

import { it } from 'vitest';
import { checkReport, fuzz } from '../fixtures/gateway-fuzz.ts';

// test/long throws 10 000.
it('2 000 requests of every kind get an answer of ours, and team B notices nothing', async () => {
  checkReport(await fuzz(2000), 0);
});

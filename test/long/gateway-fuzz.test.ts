import { it } from 'vitest';
import { checkReport, fuzz } from '../support/gateway-fuzz.ts';

it('10 000 requests of every kind get an answer of ours, and team B notices nothing', async () => {
  checkReport(await fuzz(10_000), 3);
});

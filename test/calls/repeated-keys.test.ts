import { expect, it } from 'vitest';
import { SharedEvents } from '../../src/calls/response/shared-events.ts';

it.each([
  ['chat', '{"choices":[],"more":{"choices":[]}}'],
  ['response', '{"type":"response.created","response":{"type":"response.created"}}'],
] as const)('events of a %s stream that repeat their key pass in linear time', (api, json) => {
  // Exponential time would be 2 to the power of 40 steps.
  const events = `data: ${json}\n\n`.repeat(40);
  expect(String(new SharedEvents(api).pass(Buffer.from(events)))).toBe(events);
  expect(String(new SharedEvents(api).pass(Buffer.from(`${events}: ping\n\n`)))).toBe(`${events}:\n\n`);
});

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { matchEndpoint } from '../../src/calls/endpoints/match.ts';
import { administrativeCall } from '../../src/calls/endpoints/unknown.ts';

/** The operations of OpenAI's specification, with the content types of their answers. */
const { operations } = JSON.parse(
  readFileSync(new URL('../fixtures/openai-operations.json', import.meta.url), 'utf8'),
) as { operations: Record<string, string[]> };

const lines = Object.entries(operations).map(([line, types]) => {
  const [method = '', path = ''] = line.split(' ');
  const filled = path.replace(/\?.*$/, '').replace(/\{\w+\}/g, 'id-1');
  return { line, method, path: `/v1${filled}`, types };
});

describe("OpenAI's specification", () => {
  it('has no operation that is neither in the table nor refused for its reason', () => {
    const missing = lines.filter(({ method, path }) => {
      const match = matchEndpoint(method, path);
      const isKnown = match !== undefined && 'endpoint' in match;
      return !isKnown && administrativeCall(method, path) === undefined;
    });
    // The name of a team's model is deleted by another call.
    expect(missing.map(({ line }) => line)).toEqual(['DELETE /models/{model}']);
    expect(lines.length).toBeGreaterThan(200);
  });

  it('has a stream of events wherever the table reads one', () => {
    const streamed = lines.filter(({ types }) => types.includes('text/event-stream'));
    expect(streamed.length).toBeGreaterThan(3);
    for (const { line, method, path } of streamed) {
      const match = matchEndpoint(method, path);
      expect(match !== undefined && 'endpoint' in match && match.endpoint.streams, line).toBeTruthy();
    }
  });
});

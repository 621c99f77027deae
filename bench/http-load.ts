import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';

export interface Target {
  port: number;
  headers: Record<string, string>;
}

export interface Sample {
  requestsPerSecond: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
  /** Milliseconds to the first byte of the answer's body, at the median. */
  firstByte: number;
}

/**
 * `count` calls over `connections` connections, each of which makes the next call when it has the answer.
 *
 * @param apartMs milliseconds by which each connection begins after the one before
 */
export async function load(
  { port, headers }: Target,
  body: string,
  connections: number,
  count: number,
  apartMs = 0,
): Promise<Sample> {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections, pipelining: 1 });
  const times: number[] = [];
  const firsts: number[] = [];
  let left = count;
  const work = async (_: unknown, index: number) => {
    if (apartMs > 0) await sleep(index * apartMs);
    while (left-- > 0) {
      const start = performance.now();
      const answer = await pool.request({
        method: 'POST',
        path: '/v1/chat/completions',
        headers: { 'content-type': 'application/json', ...headers },
        body,
      });
      let size = 0;
      for await (const chunk of answer.body) {
        if (size === 0) firsts.push(performance.now() - start);
        size += (chunk as Buffer).length;
      }
      if (answer.statusCode !== 200 || size < 500)
        throw new Error(`answered ${answer.statusCode}, ${size} bytes`);
      times.push(performance.now() - start);
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: connections }, work));
  const seconds = (performance.now() - start) / 1000;
  await pool.close();
  return {
    requestsPerSecond: count / seconds,
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    firstByte: quantile(firsts, 0.5),
  };
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

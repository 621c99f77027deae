import { mkdtempSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { postgresUrl, redisUrl } from '../support/connections.ts';
import { type Gateway, startGateways } from '../support/gateways.ts';
import { startPostgres } from '../support/postgres-server.ts';
import { recordingProvider } from '../support/recording-provider.ts';
import { startRedis } from '../support/redis-server.ts';
import type { TestServer } from '../support/server-process.ts';

const limits = { maxStalenessMs: 1_000, serveStaleMs: 8_000, storageTimeoutMs: 1_500 };
// Beyond the deadline, what a busy machine needs for the call itself.
const longest = limits.storageTimeoutMs + 1_500;

/** One call of the load: when it was sent, how long it took, and what came of it. */
interface Outcome {
  kind: 'known' | 'unknown key' | 'management';
  sent: number;
  took: number;
  status: number;
  text: string;
}

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function startStorage(start: (folder: string) => Promise<TestServer>): Promise<TestServer> {
  const folder = mkdtempSync(join(tmpdir(), 'team-model-router-outage-'));
  await chmod(folder, 0o755);
  closing.push(async () => rmSync(folder, { recursive: true, force: true }));
  const server = await start(folder);
  closing.push(() => server.stop());
  return server;
}

/** Calls of every kind, without a pause, until it is stopped. */
function load(gateway: Gateway, key: string, outcomes: Outcome[]) {
  let going = true;
  let turn = 0;
  const ways: Record<Outcome['kind'], () => Promise<{ status: number; text: string }>> = {
    known: () => gateway.chat(key, 'my-team-model'),
    'unknown key': () => gateway.chat(`sk-${String(turn++).padStart(43, 'x')}`, 'my-team-model'),
    management: async () => {
      const response = await gateway.post('/team/new', { team_id: `team-${turn++}` });
      return { status: response.status, text: await response.text() };
    },
  };
  const worker = async (kind: Outcome['kind']): Promise<void> => {
    while (going) {
      const sent = performance.now();
      const { status, text } = await ways[kind]();
      outcomes.push({ kind, sent, took: performance.now() - sent, status, text });
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const kinds = ['known', 'known', 'known', 'known', 'unknown key', 'management'] as const;
  const workers = Promise.all(kinds.map(worker));
  return async () => {
    going = false;
    await workers;
  };
}

const until = (instant: number) =>
  new Promise<void>((resolve) => setTimeout(resolve, Math.max(0, instant - performance.now())));

async function untilCalled(outcomes: Outcome[], found: (outcome: Outcome) => boolean): Promise<void> {
  for (let seen = outcomes.length; ; ) {
    for (; seen < outcomes.length; seen++) {
      const outcome = outcomes[seen];
      if (outcome !== undefined && found(outcome)) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe.each([
  ['redis', redisUrl, (folder: string) => startRedis(folder)],
  ['postgres', postgresUrl, (folder: string) => startPostgres(join(folder, 'data'))],
] as const)('%s frozen, then killed, then started again, under load', (name, installed, start) => {
  it.skipIf(installed === undefined)(
    'known models are served to their age limit, and all recovers by itself',
    async () => {
      const server = await startStorage(start);
      const provider = await recordingProvider();
      closing.push(() => provider.close());
      const options = { watch: true, allow: [provider.url], ...limits };
      const [gateway] = await startGateways(1, server.url, options);
      if (gateway === undefined) throw new Error('there is no gateway');
      closing.push(() => gateway.close());
      await gateway.manage('/team/new', { team_id: 'acme' });
      const key = String((await gateway.manage('/key/generate', { team_id: 'acme' })).key);
      await gateway.manage('/model/new', {
        model_name: 'my-team-model',
        litellm_params: { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', api_base: provider.url },
        model_info: { team_id: 'acme' },
      });

      const outcomes: Outcome[] = [];
      const stop = load(gateway, key, outcomes);
      const healthy = ({ kind, status }: Outcome) => kind === 'known' && status === 200;
      const managed = ({ kind, status }: Outcome) => kind === 'management' && status === 200;
      await untilCalled(outcomes, managed);
      server.freeze();
      const frozen = performance.now();
      // A snapshot is at most this old when it can no longer be renewed.
      const served = frozen + limits.serveStaleMs - limits.maxStalenessMs;
      const ended = frozen + limits.serveStaleMs + limits.storageTimeoutMs;
      await until(ended + 1_000);
      await server.kill();
      const killed = performance.now();
      await until(killed + 2_000);
      const restarting = performance.now();
      await server.restart();
      await Promise.all([untilCalled(outcomes, healthy), untilCalled(outcomes, managed)]);
      const recovered = performance.now();
      await until(recovered + 500);
      await stop();

      const show = (outcome: Outcome) => JSON.stringify(outcome);
      const known = outcomes.filter(({ kind }) => kind === 'known');
      const inside = known.filter(({ sent }) => sent < served);
      // What was still waiting when the storage came back may be answered by it.
      const over = ({ sent, took }: Outcome) => sent + took < restarting;
      const beyond = known.filter((outcome) => outcome.sent > ended && over(outcome));
      const failed = outcomes.filter(
        (outcome) => outcome.kind !== 'known' && outcome.sent > frozen + 100 && over(outcome),
      );
      expect(inside.filter(({ status }) => status !== 200).map(show)).toEqual([]);
      expect(beyond.filter(({ status }) => status !== 503).map(show)).toEqual([]);
      expect(failed.filter(({ status }) => status !== 503).map(show)).toEqual([]);
      expect(Math.min(inside.length, beyond.length, failed.length)).toBeGreaterThan(3);
      for (const outcome of outcomes) {
        expect(outcome.text, show(outcome)).not.toContain('model_not_found');
        expect(outcome.took, show(outcome)).toBeLessThan(longest);
        if (outcome.status === 503) expect(outcome.text).toContain('storage_unavailable');
      }
      // What was acknowledged before, and since, is there.
      const acknowledged = outcomes
        .filter(managed)
        .map(({ text }) => (JSON.parse(text) as { team_id: string }).team_id);
      for (const team of acknowledged) {
        expect((await gateway.post('/team/new', { team_id: team })).status, team).toBe(409);
      }
      const slowest = Math.max(...outcomes.map(({ took }) => took));
      console.log(
        `${name}: ${inside.length} calls of known models succeeded inside the age limit, ${beyond.length} were 503 after ` +
          `it, ${failed.length} others were 503; the slowest took ${slowest.toFixed(0)} ms (deadline ` +
          `${limits.storageTimeoutMs}); all well ${(recovered - restarting).toFixed(0)} ms after the restart began`,
      );
    },
  );
});

/**
 * The process under attack: the gateway over storage in memory. argv: the URLs that calls may go to, joined by commas.
 * It also runs from an older commit's sources, so that one run compares both.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { serveGateway } from 'team-model-router/http/node';

/** What the parent asks for; every message is answered with one. */
export type Question = 'reset' | 'report';

export interface Report {
  /** Milliseconds that the event loop was blocked for at the longest since the last reset. */
  longestBlockMs: number;
  /** Seconds of CPU since the last reset. */
  cpuSeconds: number;
}

const [, , allowed = '', masterKey = ''] = process.argv;
const allow = allowed.split(',');
const router = new TeamModelRouter({
  storage: memoryStorage(),
  encryptionKeys: [generateEncryptionKey()],
  egress: { allow },
});
const { port } = await serveGateway(createGateway(router, { masterKey }), { port: 0 });

const resolution = 5;
const delays = monitorEventLoopDelay({ resolution });
delays.enable();
let cpu = process.cpuUsage();
process.on('message', (question: Question) => {
  if (question === 'reset') {
    delays.reset();
    cpu = process.cpuUsage();
  }
  const { user, system } = process.cpuUsage(cpu);
  const report: Report = {
    longestBlockMs: Math.max(0, delays.max / 1e6 - resolution),
    cpuSeconds: (user + system) / 1e6,
  };
  process.send?.(report);
});
process.on('disconnect', () => process.exit());
process.send?.(port);

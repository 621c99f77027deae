/** Installs and starts @portkey-ai/gateway for bench/http, as its own README has it. */
import { execFileSync, fork } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';

const version = '1.15.2';
// With newer ones of these it answers no streams.
const overrides = { '@hono/node-server': '1.13.0', hono: '4.9.7' };

/** The path of its server, installed into `folder` unless it is there already. */
export function installPortkey(folder: string): string {
  const server = join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js');
  if (existsSync(server)) return server;
  mkdirSync(folder, { recursive: true });
  const manifest = { private: true, dependencies: { '@portkey-ai/gateway': version }, overrides };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: folder,
    stdio: 'ignore',
  });
  return server;
}

export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Started with a preloaded module that answers the parent as the other contenders do. */
export function startPortkey(server: string, port: number, preload: string) {
  return fork(server, [`--port=${port}`, '--headless'], {
    execArgv: ['--import', preload],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, PORT: String(port), BENCH_PORT: String(port) },
  });
}

/** A name server on loopback that never answers, and the command that makes it a process's only one. Linux, as root. */

import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SilentDns {
  /** Runs what follows it with this name server, in a mount namespace of its own. */
  command: readonly string[];
  close(): void;
}

const address = '127.0.0.99';

/** `undefined` where the machine does not allow it. */
export async function silentDns(): Promise<SilentDns | undefined> {
  const socket = createSocket('udp4');
  const bound = await new Promise<boolean>((resolve) => {
    socket.once('error', () => resolve(false));
    socket.bind(53, address, () => resolve(true));
  });
  const folder = mkdtempSync(join(tmpdir(), 'team-model-router-dns-'));
  const file = join(folder, 'resolv.conf');
  writeFileSync(file, `nameserver ${address}\n`);
  const script = `mount --bind ${file} /etc/resolv.conf && exec "$@"`;
  const command = ['unshare', '--mount', 'sh', '-c', script, 'sh'];
  const close = () => {
    socket.close();
    rmSync(folder, { recursive: true, force: true });
  };
  if (bound && spawnSync(command[0] ?? '', [...command.slice(1), 'true']).status === 0)
    return { command, close };
  if (bound) close();
  return undefined;
}

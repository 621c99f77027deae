/** What a process under test tells its parent: its port, and on request what it has used so far. */
export interface Usage {
  cpuSeconds: number;
  residentBytes: number;
}

export function answerToParent(port: number): void {
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpuSeconds: (user + system) / 1e6, residentBytes: process.memoryUsage.rss() });
  });
  process.on('disconnect', () => process.exit());
  process.send?.(port);
}

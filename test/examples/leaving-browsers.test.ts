import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../support/leaving-browsers.ts', import.meta.url));

describe.each(['express', 'fastify', 'gateway-express', 'gateway-fastify', 'gateway-hono'])(
  'examples/%s',
  (example) => {
    it('prints nothing when a browser leaves', async () => {
      // With NODE_ENV=test Express prints no errors at all.
      const { NODE_ENV: _, ...env } = process.env;
      const child = fork(program, [example], {
        execArgv: ['--import', 'tsx'],
        cwd: fileURLToPath(new URL('../..', import.meta.url)),
        silent: true,
        env,
      });
      let printed = '';
      for (const stream of [child.stdout, child.stderr])
        stream?.setEncoding('utf8').on('data', (text: string) => {
          printed += text;
        });
      const left = once(child, 'message');
      const [code] = await once(child, 'close');
      expect(printed).toBe('');
      expect(code).toBe(0);
      expect((await left)[0]).toBe(8);
    });
  },
);

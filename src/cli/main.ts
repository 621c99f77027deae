#!/usr/bin/env node
import { RouterError } from '../errors.ts';
import { readArguments, usage } from './arguments.ts';

const needed = 'npm install openai hono @hono/node-server keyv @keyv/sqlite';

function fail(message: string): void {
  process.stderr.write(`${message}\n`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const options = readArguments(process.argv.slice(2), process.env);
  if (options === 'help') {
    process.stdout.write(`${usage}\n`);
    return;
  }
  // Only now: what the gateway is built on is optional to everybody else.
  const { serve } = await import('./serve.ts');
  await serve(options, (line) => process.stdout.write(`${line}\n`));
}

main().catch((error: unknown) => {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (code === 'ERR_MODULE_NOT_FOUND') fail(`Something that the gateway is built on is missing. ${needed}`);
  else if (RouterError.isInstance(error)) fail(error.message);
  else fail(typeof message === 'string' ? message : 'The gateway could not be started.');
});

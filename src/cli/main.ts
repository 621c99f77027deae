#!/usr/bin/env node
import { readFile } from 'node:fs/promises';
import { readArguments, usage } from './arguments.ts';
import { describeFailure } from './failure.ts';

async function main(): Promise<void> {
  const options = readArguments(process.argv.slice(2), process.env);
  if (options === 'help') {
    process.stdout.write(`${usage}\n`);
    return;
  }
  if (options === 'version') {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    process.stdout.write(`${version}\n`);
    return;
  }
  // The reader of the output may disconnect, which must not end customers' calls.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  // Imported lazily, because the packages of the gateway are optional.
  const { serve } = await import('./serve.ts');
  await serve(options, {
    print: (line) => process.stdout.write(`${line}\n`),
    log: (line) => process.stderr.write(`${line}\n`),
  });
}

main().catch((error: unknown) => {
  const { line, exitCode } = describeFailure(error);
  process.stderr.write(`${line}\n`);
  process.exitCode = exitCode;
});

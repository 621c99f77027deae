import { describe, it } from 'vitest';
import { storageConformance } from '../../src/storage/conformance.ts';
import { adapters } from './adapters.ts';
import { temporaryFolder } from './temporary-folder.ts';

const runner = { describe, it };

for (const { name, create, createPair } of adapters(temporaryFolder())) {
  storageConformance(runner, name, create, createPair ? { createPair } : {});
}

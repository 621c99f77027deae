import { describe, it } from 'vitest';
import { storageConformance } from '../../src/storage/conformance/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { adapters } from './adapters.ts';

const runner = { describe, it };

for (const { name, create, createPair } of adapters(temporaryFolder())) {
  storageConformance(runner, name, create, createPair ? { createPair } : {});
}

export {
  type ConformanceOptions,
  type ConformanceRunner,
  storageConformance,
} from './storage/conformance/index.ts';

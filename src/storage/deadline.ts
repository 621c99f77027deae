import { RouterError } from '../errors.ts';
import { boundedWait } from './bounded-wait.ts';
import type { OperationOptions, Storage } from './storage.ts';

/**
 * The same storage, with a deadline for each operation, and with every failure turned into
 * `storage_unavailable`: a driver that hangs or throws something of its own must not look like an absent key.
 */
export function withDeadline(storage: Storage, milliseconds: number): Storage {
  const guard = async <Result>(
    options: OperationOptions | undefined,
    operation: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> => {
    try {
      return await boundedWait(milliseconds, options?.signal, (_, abandoned) => operation(abandoned));
    } catch (error) {
      if (RouterError.isInstance(error)) throw error;
      throw new RouterError('storage_unavailable', 'The storage could not be reached.', { cause: error });
    }
  };
  const watch = storage.watch?.bind(storage);
  return {
    atomicity: storage.atomicity,
    get: (key, options) => guard(options, (signal) => storage.get(key, { ...options, signal })),
    put: (key, value, expected, options) =>
      guard(options, (signal) => storage.put(key, value, expected, { ...options, signal })),
    delete: (key, expected, options) =>
      guard(options, (signal) => storage.delete(key, expected, { ...options, signal })),
    list: (prefix, options) => guard(options, (signal) => storage.list(prefix, { ...options, signal })),
    ...(watch === undefined ? {} : { watch }),
    close: () => storage.close(),
  };
}

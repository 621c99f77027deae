import { isUnavailable, RouterError } from '../errors.ts';
import type { OperationOptions, Storage } from './storage.ts';
import { boundedWait } from './support/bounded-wait.ts';

export type OperationKind = 'read' | 'write';

/**
 * Wraps a storage with a deadline for each operation. Converts every failure to `storage_unavailable`, because a
 * hanging or failing driver must not look like an absent key. After `close` every operation fails with `draining`.
 *
 * @param onTurn is called at the first failure after a success and at the next success, separately for reads and
 * writes, because a storage may answer reads while it refuses writes. A conflict does not count as a successful write.
 */
export function withDeadline(
  storage: Storage,
  milliseconds: number,
  onTurn: (failure: RouterError | undefined, kind: OperationKind) => void = () => {},
): Storage {
  const failing = { read: false, write: false };
  let closed = false;
  const turn = (kind: OperationKind, failure?: RouterError) => {
    if (failing[kind] === (failure !== undefined)) return;
    failing[kind] = failure !== undefined;
    onTurn(failure, kind);
  };
  const guard = async <Result>(
    kind: OperationKind,
    options: OperationOptions | undefined,
    operation: (signal: AbortSignal) => Promise<Result>,
    showsSuccess: (result: Result) => boolean = () => true,
  ): Promise<Result> => {
    if (closed) throw draining();
    try {
      const result = await boundedWait(milliseconds, options?.signal, (_, abandoned) => operation(abandoned));
      if (showsSuccess(result)) turn(kind);
      return result;
    } catch (error) {
      if (closed) throw draining(error);
      const failure = asStorageError(error);
      if (isUnavailable(failure)) turn(kind, failure);
      throw failure;
    }
  };
  const watch = storage.watch?.bind(storage);
  return {
    atomicity: storage.atomicity,
    get: (key, options) => guard('read', options, (signal) => storage.get(key, { ...options, signal })),
    put: (key, value, expected, options) =>
      guard(
        'write',
        options,
        (signal) => storage.put(key, value, expected, { ...options, signal }),
        (version) => version !== undefined,
      ),
    delete: (key, expected, options) =>
      guard(
        'write',
        options,
        (signal) => storage.delete(key, expected, { ...options, signal }),
        (isDeleted) => isDeleted,
      ),
    list: (prefix, options) =>
      guard('read', options, (signal) => storage.list(prefix, { ...options, signal })),
    ...(watch === undefined ? {} : { watch }),
    close() {
      closed = true;
      return storage.close();
    },
  };
}

function draining(cause?: unknown): RouterError {
  return new RouterError('draining', 'The router is closed.', cause === undefined ? {} : { cause });
}

function asStorageError(error: unknown): RouterError {
  if (RouterError.isInstance(error)) return error;
  return new RouterError('storage_unavailable', 'The storage could not be reached.', { cause: error });
}

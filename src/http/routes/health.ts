import type { Answer } from '../../calls/answer.ts';
import { RouterError } from '../../errors.ts';
import type { TeamModelRouter } from '../../router.ts';
import { serverEnding } from '../adapters/drain.ts';
import { jsonAnswer } from '../messages/answers.ts';

/** Milliseconds for which a storage check is cached, so that public requests cannot overload the storage. */
const cachedMs = 1000;

export const livenessPaths = ['/health/liveliness', '/health/liveness'] as const;
export const readinessPath = '/health/readiness';

export function liveness(): Answer {
  return jsonAnswer(200, "I'm alive!");
}

type State = 'connected' | 'refuses_writes' | 'unavailable' | 'draining';

/**
 * Returns whether this process should receive requests. It should not while the storage is unreachable or
 * rejects writes, nor while the server or the router is shutting down.
 */
export function readiness(router: TeamModelRouter): (draining: boolean) => Promise<Answer> {
  let checked: { at: number; state: Promise<State> } | undefined;
  return async (ending) => {
    if (checked === undefined || performance.now() - checked.at > cachedMs)
      checked = { at: performance.now(), state: stateOf(router) };
    const state = await checked.state;
    const storage = state === 'draining' ? 'connected' : state;
    if (ending || state === 'draining')
      return jsonAnswer(503, { status: 'draining', storage, ...serverEnding().toJSON() });
    if (state === 'connected') return jsonAnswer(200, { status: 'healthy', storage });
    const { error } = new RouterError('storage_unavailable', messages[state]).toJSON();
    return jsonAnswer(503, { status: 'unhealthy', storage, error });
  };
}

const messages = {
  unavailable: 'The storage is unreachable.',
  refuses_writes: 'The storage rejects writes.',
} as const;

async function stateOf(router: TeamModelRouter): Promise<State> {
  try {
    await router.checkStorage();
  } catch (error) {
    return RouterError.isInstance(error) && error.code === 'draining' ? 'draining' : 'unavailable';
  }
  return router.checkStorage({ writes: true }).then(
    () => 'connected',
    () => 'refuses_writes',
  );
}

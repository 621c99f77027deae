import type { Answer } from '../calls/answer.ts';
import { RouterError } from '../errors.ts';
import type { TeamModelRouter } from '../router.ts';
import { jsonAnswer } from './answers.ts';
import { serverEnding } from './drain.ts';

/** Milliseconds for which an answer of the storage holds: anybody may ask, and must not wear it out. */
const rememberedMs = 1000;

export const livenessPaths = ['/health/liveliness', '/health/liveness'] as const;
export const readinessPath = '/health/readiness';

export function liveness(): Answer {
  return jsonAnswer(200, "I'm alive!");
}

type State = 'connected' | 'unavailable' | 'draining';

/**
 * Returns whether requests should be sent here: not while the storage is out of reach, nor while the server or the router is ending.
 */
export function readiness(router: TeamModelRouter): (draining: boolean) => Promise<Answer> {
  let checked: { at: number; state: Promise<State> } | undefined;
  return async (ending) => {
    if (checked === undefined || performance.now() - checked.at > rememberedMs) {
      const state = router.checkStorage().then(
        () => 'connected' as const,
        (error: unknown) =>
          RouterError.isInstance(error) && error.code === 'draining' ? 'draining' : 'unavailable',
      );
      checked = { at: performance.now(), state };
    }
    const state = await checked.state;
    const storage = state === 'unavailable' ? 'unavailable' : 'connected';
    if (ending || state === 'draining')
      return jsonAnswer(503, { status: 'draining', storage, ...serverEnding().toJSON() });
    if (state === 'connected') return jsonAnswer(200, { status: 'healthy', storage });
    const { error } = new RouterError('storage_unavailable', 'The storage could not be reached.').toJSON();
    return jsonAnswer(503, { status: 'unhealthy', storage, error });
  };
}

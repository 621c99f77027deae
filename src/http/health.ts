import type { Answer } from '../calls/answer.ts';
import { RouterError } from '../errors.ts';
import type { TeamModelRouter } from '../router.ts';
import { jsonAnswer } from './answers.ts';

/** Milliseconds for which an answer of the storage holds: anybody may ask, and must not wear it out. */
const rememberedMs = 1000;

export const livenessPaths = ['/health/liveliness', '/health/liveness'] as const;
export const readinessPath = '/health/readiness';

export function liveness(): Answer {
  return jsonAnswer(200, "I'm alive!");
}

/** Whether requests should be sent here: not while the storage is out of reach, nor while the server is ending. */
export function readiness(router: TeamModelRouter): (draining: boolean) => Promise<Answer> {
  let checked: { at: number; ok: Promise<boolean> } | undefined;
  return async (draining) => {
    if (checked === undefined || performance.now() - checked.at > rememberedMs) {
      const ok = router.checkStorage().then(
        () => true,
        () => false,
      );
      checked = { at: performance.now(), ok };
    }
    const storage = (await checked.ok) ? 'connected' : 'unavailable';
    if (storage === 'connected' && !draining) return jsonAnswer(200, { status: 'healthy', storage });
    const { error } = draining
      ? new RouterError('draining', 'The server is ending.').toJSON()
      : new RouterError('storage_unavailable', 'The storage could not be reached.').toJSON();
    return jsonAnswer(503, { status: draining ? 'draining' : 'unhealthy', storage, error });
  };
}

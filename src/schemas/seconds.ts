import { z } from 'zod';

/** Maximum timeout in seconds. Larger values are usually milliseconds, the unit of OpenAI's JavaScript client. */
export const maxTimeoutSeconds = 7_200;

/** Returns the problem of a number of seconds; `undefined` if it is valid. */
export function secondsProblem(value: number, max: number): string | undefined {
  if (value <= max) return undefined;
  const inSeconds = value / 1000;
  const hint = inSeconds <= max ? ` If milliseconds were meant, write ${inSeconds}.` : '';
  return `must be seconds, at most ${max}.${hint}`;
}

/** Accepts a positive number of seconds. */
export function seconds(max: number = maxTimeoutSeconds) {
  return bounded(z.number('must be a number of seconds, such as 30').positive(), max);
}

/** Accepts a non-negative number of seconds. */
export function secondsOrNone(max: number) {
  return bounded(z.number('must be a number of seconds, such as 30').nonnegative(), max);
}

function bounded(schema: z.ZodNumber, max: number) {
  return schema.max(max, {
    error: ({ input }) => secondsProblem(typeof input === 'number' ? input : max, max),
  });
}

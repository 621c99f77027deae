import { z } from 'zod';

/** Seconds that a time-out may have: more are milliseconds by mistake, as OpenAI's client for JavaScript counts them. */
export const maxTimeoutSeconds = 7_200;

/** Returns what is wrong with a number of seconds; `undefined` if nothing is. */
export function secondsProblem(value: number, most: number): string | undefined {
  if (value <= most) return undefined;
  const meant = value / 1000;
  const hint = meant <= most ? ` If milliseconds were meant, write ${meant}.` : '';
  return `must be seconds, at most ${most}.${hint}`;
}

/** A number of seconds above 0. */
export function seconds(most: number = maxTimeoutSeconds) {
  return bounded(z.number('must be a number of seconds, such as 30').positive(), most);
}

/** A number of seconds that may be 0. */
export function secondsOrNone(most: number) {
  return bounded(z.number('must be a number of seconds, such as 30').nonnegative(), most);
}

function bounded(schema: z.ZodNumber, most: number) {
  return schema.max(most, {
    error: ({ input }) => secondsProblem(typeof input === 'number' ? input : most, most),
  });
}

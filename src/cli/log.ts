import type { Logger } from '../index.ts';

/** Creates a logger that writes each line as JSON: `time`, `level` and `msg`, then the fields. */
export function jsonLogger(write: (line: string) => void): Logger {
  const at = (level: string) => (fields: object, message: string) =>
    write(JSON.stringify({ time: new Date().toISOString(), level, msg: message, ...fields }));
  return { info: at('info'), warn: at('warn'), error: at('error') };
}

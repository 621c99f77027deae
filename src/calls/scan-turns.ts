const waiting: (() => void)[] = [];

/**
 * Resolves in a later turn of the event loop, one waiting call a turn: many long bodies at the same time hold up
 * everybody else no longer than one does.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(passTurn);
  });
}

function passTurn(): void {
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(passTurn);
}

/** Captured at load time, because no call would continue under the fake timers of an application's tests. */
const atEndOfTick = setImmediate;

/**
 * Runs callbacks of one event loop tick together, after all input of the tick has been read.
 *
 * This is the hot path of every gateway call. Calls at the same step run one after another and share the processor's
 * caches. Under load a call then takes 10 to 20 % less CPU time (measured on 2026-11-26).
 */
export class TickBatch {
  #waiting: (() => void)[] = [];

  /**
   * Calls back at the end of the tick, in order of registration.
   *
   * @param callback must not throw
   */
  schedule(callback: () => void): void {
    if (this.#waiting.push(callback) === 1) atEndOfTick(this.#runAll);
  }

  readonly #runAll = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) callback();
  };
}

/** `null`: the operator. */
type Team = string | null;

interface Piece {
  bytes: number;
  resume: () => void;
}

/** Bytes that all calls together may scan in one tick. */
const bytesPerTick = 65_536;
/** Pieces up to this size do not wait behind longer ones. */
const shortPiece = 4_096;
/**
 * Pieces up to this size are not counted, because scanning them is cheaper than counting. Most events and responses
 * are that small.
 */
const tinyPiece = 1_024;

/** Divides each tick fairly among the teams with waiting pieces. The pieces of one team run in order. */
class Share {
  #spent = 0;
  /** Waiting pieces by team, the next team first. */
  readonly #waiting = new Map<Team, Piece[]>();

  /** Returns `undefined` if the tick has room. */
  take(team: Team, bytes: number): Promise<void> | undefined {
    if (this.#waiting.size > 0 || !this.#hasRoom(bytes)) return this.wait(team, bytes);
    this.#begin();
    this.#spend(bytes);
    return undefined;
  }

  /** Resolves in a later tick that has room. */
  wait(team: Team, bytes: number): Promise<void> {
    return new Promise((resume) => {
      this.#begin();
      const pieces = this.#waiting.get(team);
      if (pieces === undefined) this.#waiting.set(team, [{ bytes, resume }]);
      else pieces.push({ bytes, resume });
    });
  }

  /** A piece longer than the limit gets a whole tick. */
  #hasRoom(bytes: number): boolean {
    return this.#spent === 0 || this.#spent + bytes <= bytesPerTick;
  }

  #begin(): void {
    if (this.#spent === 0 && this.#waiting.size === 0) atEndOfTick(this.#next);
  }

  #spend(bytes: number): void {
    this.#spent += Math.max(bytes, 1);
  }

  readonly #next = (): void => {
    this.#spent = 0;
    for (const [team, pieces] of this.#waiting) {
      const [piece] = pieces;
      if (piece === undefined || !this.#hasRoom(piece.bytes)) break;
      this.#spend(piece.bytes);
      this.#waiting.delete(team);
      pieces.shift();
      // Moves the team to the end. The loop reaches it again if the tick still has room.
      if (pieces.length > 0) this.#waiting.set(team, pieces);
      piece.resume();
    }
    if (this.#spent > 0) atEndOfTick(this.#next);
  };
}

const short = new Share();
const long = new Share();

/**
 * Acquires room for a scan of `bytes` in the current tick. Returns a promise if the tick has no room. Many concurrent
 * scans then block the event loop no longer than one long scan, and one team's scans do not delay another team's.
 */
export function tickFor(team: Team, bytes: number): Promise<void> | undefined {
  if (bytes <= tinyPiece) return undefined;
  return (bytes <= shortPiece ? short : long).take(team, bytes);
}

/** Resolves in a later tick that has room for long work. */
export function nextTick(team: Team): Promise<void> {
  return long.wait(team, bytesPerTick);
}

/** Tiny pieces of one body, and their bytes, that are read in one turn of the event loop. */
const tinyPieces = 256;
const tinyBytes = 16_384;

/**
 * Asks for turns on behalf of one body that its sender yields piece by piece. `tickFor` does not count tiny pieces, so an
 * iterable that yields a million of them without I/O would never let the event loop continue. Empty pieces count too.
 */
export class PieceTurns {
  readonly #team: Team;
  #pieces = 0;
  #bytes = 0;

  constructor(team: Team) {
    this.#team = team;
  }

  /** Returns a promise if the next piece has to wait for a later turn. */
  take(bytes: number): Promise<void> | undefined {
    this.#pieces += 1;
    this.#bytes += bytes;
    if (this.#pieces < tinyPieces && this.#bytes < tinyBytes) return tickFor(this.#team, bytes);
    const read = this.#bytes;
    this.#pieces = 0;
    this.#bytes = 0;
    return bytes > tinyPiece ? tickFor(this.#team, bytes) : short.wait(this.#team, read);
  }
}

import type { KnownName } from './names.ts';
import type { Shape, ShapeMember } from './shape.ts';

/** One object or array that is being read. Frames are kept and used again: there are as many as a body is deep. */
export class JsonFrame {
  readonly parent: JsonFrame | undefined;
  #child: JsonFrame | undefined;
  object = true;
  start = 0;
  /** What it may have; `undefined`: it is not judged. */
  shape: Shape | undefined;
  /** Rank of the key that contains it, if the key names an object in the provider's account; otherwise -1. */
  rank = -1;
  /** The member whose rule all strings below follow. */
  below: ShapeMember | undefined;

  // Of the member that is being read.
  keyStart = 0;
  keyEnd = 0;
  name: KnownName | undefined;
  member: ShapeMember | undefined;
  memberRank = -1;

  // Of the members so far.
  hasId = false;
  /** Whether there is a type, known or not. */
  hasType = false;
  type: KnownName | undefined;
  /** Whether something is in it, at any depth, besides empty strings, objects and arrays. */
  filled = false;
  substance = 0;
  #seenLow = 0;
  #seenHigh = 0;

  constructor(parent: JsonFrame | undefined) {
    this.parent = parent;
  }

  child(
    object: boolean,
    start: number,
    shape: Shape | undefined,
    rank: number,
    below: ShapeMember | undefined,
  ): JsonFrame {
    this.#child ??= new JsonFrame(this);
    this.#child.#begin(object, start, shape, rank, below);
    return this.#child;
  }

  /** Returns whether the member of the shape was seen. */
  has({ index }: ShapeMember): boolean {
    return ((index < 31 ? this.#seenLow : this.#seenHigh) & (1 << (index % 31))) !== 0;
  }

  /** Marks a member of the shape, and returns whether it was there before. */
  see(index: number): boolean {
    const bit = 1 << (index % 31);
    const seen = index < 31 ? this.#seenLow : this.#seenHigh;
    if (index < 31) this.#seenLow |= bit;
    else this.#seenHigh |= bit;
    return (seen & bit) !== 0;
  }

  #begin(
    object: boolean,
    start: number,
    shape: Shape | undefined,
    rank: number,
    below: ShapeMember | undefined,
  ): void {
    this.object = object;
    this.start = start;
    this.shape = shape;
    this.rank = rank;
    this.below = below;
    this.name = undefined;
    this.member = undefined;
    this.memberRank = -1;
    this.hasId = false;
    this.hasType = false;
    this.type = undefined;
    this.filled = false;
    this.substance = 0;
    this.#seenLow = 0;
    this.#seenHigh = 0;
  }
}

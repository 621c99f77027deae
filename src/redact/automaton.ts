/**
 * Treats `+` and tab as a space, because form decoding turns `+` into a space and encoders write a tab as white
 * space.
 */
const folded: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte === 0x2b || byte === 0x09 ? 0x20 : byte,
);

const hasNext = 1;
const branches = 2;

/**
 * Finds all of its patterns in one pass (Aho-Corasick). A step costs amortised constant time, because each failure
 * link shortens the current match and each byte lengthens it by at most one.
 *
 * A node takes 10 bytes. The child that extends a pattern is the next node, so only the other children need a map.
 *
 * @see https://doi.org/10.1145/360825.360855
 */
export class Automaton {
  readonly #byte: Uint8Array;
  readonly #flags: Uint8Array;
  readonly #fail: Int32Array;
  readonly #depth: Uint16Array;
  /** Index of the longest pattern that ends here, plus 1; 0 if no pattern ends here. */
  readonly #longest: Uint16Array;
  readonly #root = new Int32Array(256);
  readonly #branches = new Map<number, [byte: number, node: number][]>();
  readonly #lengths: number[];
  #size = 1;

  /** @param patterns of at most 65 534 bytes each */
  constructor(patterns: readonly Uint8Array[]) {
    const nodes = patterns.reduce((sum, { length }) => sum + length, 1);
    this.#byte = new Uint8Array(nodes);
    this.#flags = new Uint8Array(nodes);
    this.#fail = new Int32Array(nodes);
    this.#depth = new Uint16Array(nodes);
    this.#longest = new Uint16Array(nodes);
    this.#lengths = patterns.map(({ length }) => length);
    for (const [index, pattern] of patterns.entries()) this.#insert(pattern, index);
    this.#link();
  }

  /**
   * Reports every position in `bytes` where a pattern ends, with the longest pattern that ends there.
   *
   * @param traceFrom first index at which `trace` receives the length of the longest open match, 0 if no match is
   * open
   */
  run(
    bytes: Uint8Array,
    length: number,
    onMatch: (end: number, length: number, pattern: number) => void,
    traceFrom: number,
    trace: (index: number, depth: number) => void,
  ): void {
    const root = this.#root;
    let state = 0;
    for (let index = 0; index < length; index++) {
      const byte = folded[bytes[index] ?? 0] ?? 0;
      if (state === 0) {
        state = root[byte] ?? 0;
        if (state === 0) continue;
      } else state = this.#step(state, byte);
      const longest = this.#longest[state] ?? 0;
      if (longest !== 0) onMatch(index + 1, this.#lengths[longest - 1] ?? 0, longest - 1);
      if (index >= traceFrom) trace(index, this.#depth[state] ?? 0);
    }
  }

  #step(from: number, byte: number): number {
    let state = from;
    while (state !== 0) {
      const next = this.#child(state, byte);
      if (next !== 0) return next;
      state = this.#fail[state] ?? 0;
    }
    return this.#root[byte] ?? 0;
  }

  /** Returns 0 if the node has no such child, because the root is never a child. */
  #child(node: number, byte: number): number {
    if (node === 0) return this.#root[byte] ?? 0;
    const flags = this.#flags[node] ?? 0;
    if ((flags & hasNext) !== 0 && this.#byte[node + 1] === byte) return node + 1;
    if ((flags & branches) === 0) return 0;
    for (const [other, child] of this.#branches.get(node) ?? []) if (other === byte) return child;
    return 0;
  }

  #insert(pattern: Uint8Array, index: number): void {
    let node = 0;
    let at = 0;
    for (; at < pattern.length; at++) {
      const next = this.#child(node, folded[pattern[at] ?? 0] ?? 0);
      if (next === 0) break;
      node = next;
    }
    for (; at < pattern.length; at++) node = this.#append(node, folded[pattern[at] ?? 0] ?? 0);
    if (node !== 0) this.#longest[node] ||= index + 1;
  }

  #append(parent: number, byte: number): number {
    const node = this.#size++;
    this.#byte[node] = byte;
    this.#depth[node] = (this.#depth[parent] ?? 0) + 1;
    if (parent === 0) this.#root[byte] = node;
    else if (node === parent + 1) this.#flags[parent] = (this.#flags[parent] ?? 0) | hasNext;
    else {
      this.#flags[parent] = (this.#flags[parent] ?? 0) | branches;
      const siblings = this.#branches.get(parent);
      if (siblings === undefined) this.#branches.set(parent, [[byte, node]]);
      else siblings.push([byte, node]);
    }
    return node;
  }

  /** Sets the failure links breadth first, so that each parent's link is set before those of its children. */
  #link(): void {
    const queue = new Int32Array(this.#size);
    let end = 0;
    for (const node of this.#root) if (node !== 0) queue[end++] = node;
    for (let at = 0; at < end; at++) {
      const node = queue[at] ?? 0;
      const fail = this.#fail[node] ?? 0;
      this.#longest[node] ||= this.#longest[fail] ?? 0;
      const flags = this.#flags[node] ?? 0;
      if ((flags & hasNext) !== 0) {
        this.#fail[node + 1] = this.#step(fail, this.#byte[node + 1] ?? 0);
        queue[end++] = node + 1;
      }
      if ((flags & branches) === 0) continue;
      for (const [byte, child] of this.#branches.get(node) ?? []) {
        this.#fail[child] = this.#step(fail, byte);
        queue[end++] = child;
      }
    }
  }
}

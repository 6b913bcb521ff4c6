/** Type ids by name, hashed over the bytes of the string section: no string is decoded for it. */
const encoder = new TextEncoder();

export class NameIndex {
  readonly #heads: Int32Array;
  readonly #next: Int32Array;
  readonly #mask: number;
  readonly #strings: Uint8Array;
  readonly #nameOffset: (index: number) => number;

  /** Indexes 0..count-1, whose names start at `nameOffset(index)` of `strings` and end with a NUL; -1: none. */
  constructor(count: number, strings: Uint8Array, nameOffset: (index: number) => number) {
    let size = 16;
    while (size < count) size *= 2;
    this.#mask = size - 1;
    this.#heads = new Int32Array(size).fill(-1);
    this.#next = new Int32Array(count);
    this.#strings = strings;
    this.#nameOffset = nameOffset;
    // Backwards, so that a chain yields the lowest index first.
    for (let index = count - 1; index >= 0; index--) {
      const at = nameOffset(index);
      if (at < 0) continue;
      const slot = this.#hash(strings, at, strings.length) & this.#mask;
      this.#next[index] = this.#heads[slot]!;
      this.#heads[slot] = index;
    }
  }

  /** The lowest index of that name that `accept` takes, or -1. */
  find(name: string, accept: (index: number) => boolean): number {
    const bytes = encoder.encode(name);
    const slot = this.#hash(bytes, 0, bytes.length) & this.#mask;
    for (let index = this.#heads[slot]!; index >= 0; index = this.#next[index]!)
      if (this.#equals(this.#nameOffset(index), bytes) && accept(index)) return index;
    return -1;
  }

  /** FNV-1a up to a NUL or `end`; the first 128 bytes tell names apart well enough, and bound hostile tables. */
  #hash(bytes: Uint8Array, start: number, end: number): number {
    let hash = 0x811c9dc5;
    const stop = Math.min(end, start + 128);
    for (let i = start; i < stop; i++) {
      const byte = bytes[i]!;
      if (byte === 0) break;
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
    return hash ^ (hash >>> 15);
  }

  #equals(at: number, name: Uint8Array): boolean {
    const strings = this.#strings;
    for (let i = 0; i < name.length; i++) if (strings[at + i] !== name[i]) return false;
    return (strings[at + name.length] ?? 0) === 0;
  }
}

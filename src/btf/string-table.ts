/** A growing BTF string section without duplicates: NUL-terminated UTF-8, found by its bytes. */
const encoder = new TextEncoder();

export class StringTable {
  #bytes: Uint8Array;
  #size = 0;
  /** Offset + 1 of a string; 0: free. Open addressing. */
  #slots: Uint32Array;
  #count = 0;
  /** What the first byte's offset counts as (split BTF: the base's size). */
  readonly start: number;

  /** With `start` 0 the table begins with the empty string, as every base BTF's must. */
  constructor(start = 0) {
    this.start = start;
    this.#bytes = new Uint8Array(1024);
    this.#slots = new Uint32Array(256);
    if (start === 0) this.#append(this.#bytes, 0, 0, this.#hash(this.#bytes, 0, 0));
  }

  /** Offset of the string, added where it is new. "" is 0. */
  add(text: string): number {
    if (text === "") return 0;
    const bytes = encoder.encode(text);
    return this.addBytes(bytes, 0, bytes.length);
  }

  /** Like `add`, for the bytes `from` to `to` of some buffer; they hold no NUL. */
  addBytes(bytes: Uint8Array, from: number, to: number): number {
    if (from === to) return 0;
    const hash = this.#hash(bytes, from, to);
    const found = this.#find(bytes, from, to, hash);
    return found >= 0 ? this.start + found : this.start + this.#append(bytes, from, to, hash);
  }

  /** Offset of a string that is there, or undefined. */
  find(text: string): number | undefined {
    if (text === "") return 0;
    const bytes = encoder.encode(text);
    const found = this.#find(bytes, 0, bytes.length, this.#hash(bytes, 0, bytes.length));
    return found < 0 ? undefined : this.start + found;
  }

  get size(): number {
    return this.#size;
  }

  /** A view that the next `add` may outdate. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  #find(bytes: Uint8Array, from: number, to: number, hash: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const at = this.#slots[slot]! - 1;
      if (at < 0) return -1;
      if (this.#equals(at, bytes, from, to)) return at;
    }
  }

  #equals(at: number, bytes: Uint8Array, from: number, to: number): boolean {
    const own = this.#bytes;
    const length = to - from;
    if (at + length >= this.#size) return false;
    for (let i = 0; i < length; i++) if (own[at + i] !== bytes[from + i]) return false;
    return own[at + length] === 0;
  }

  #append(bytes: Uint8Array, from: number, to: number, hash: number): number {
    const at = this.#size;
    const need = at + (to - from) + 1;
    if (need > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(need, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    if (to > from) this.#bytes.set(bytes.subarray(from, to), at);
    this.#size = need;
    this.#insert(at, hash);
    if (++this.#count * 2 > this.#slots.length) this.#rehash();
    return at;
  }

  #insert(at: number, hash: number): void {
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = at + 1;
  }

  #rehash(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    const bytes = this.#bytes;
    for (let at = 0; at < this.#size; ) {
      const end = bytes.indexOf(0, at);
      this.#insert(at, this.#hash(bytes, at, end));
      at = end + 1;
    }
  }

  #hash(bytes: Uint8Array, from: number, to: number): number {
    let hash = 0x811c9dc5;
    for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
    return (hash ^ (hash >>> 15)) >>> 0;
  }
}

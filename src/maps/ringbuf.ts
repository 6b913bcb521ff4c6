// BPF_MAP_TYPE_RINGBUF for user space (kernel/bpf/ringbuf.c; consuming as libbpf's ringbuf.c does).
import { BPF_F_NUMA_NODE, EINVAL, ENOMEM } from "../uapi/index.ts";
import { hasOtherFlags, type MapAttr } from "./attr.ts";
import { RING_CONSUMER, RING_DATA, RING_MASK, RING_PRODUCER, RING_WAKEUPS } from "./layout.ts";
import { BpfMap } from "./map.ts";
import type { MapEnv } from "./map-env.ts";

const PAGE_SIZE = 4096;
const HEADER = 8;
const BUSY = 0x80000000;
const DISCARD = 0x40000000;
/** Records are copied out in pieces of about this size. */
const CHUNK = 1 << 16;

/** Of a record with its header, from the header's length word. */
function recordSize(head: number): number {
  return ((head & ~DISCARD) + HEADER + 7) & ~7;
}

/** ringbuf_map_alloc. */
export function checkRingbuf(attr: MapAttr): number {
  const n = attr.max_entries;
  return hasOtherFlags(attr.map_flags ?? 0, BPF_F_NUMA_NODE) ||
    attr.key_size !== 0 ||
    attr.value_size !== 0 ||
    n === 0 ||
    (n & (n - 1)) !== 0 ||
    n % PAGE_SIZE !== 0
    ? -EINVAL
    : 0;
}

export class RingbufMap extends BpfMap {
  constructor(env: MapEnv, attr: MapAttr) {
    super(env, attr, { hidden: true });
  }

  protected override init(): number {
    if (this.maxEntries > 2 ** 29) return -ENOMEM;
    this.set(RING_DATA, this.env.space.alloc(2 * this.maxEntries, "none"));
    this.set(RING_MASK, this.maxEntries - 1);
    return 0;
  }

  protected override destroy(): void {
    if (this.word(RING_DATA) !== 0) this.env.space.free(this.word(RING_DATA));
    this.set(RING_DATA, 0);
  }

  protected override blocks(): readonly number[] {
    return [this.word(RING_DATA)];
  }

  /** Wake-ups that programs asked for so far: what a poll(2) on the ring would have seen. */
  get wakeups(): number {
    return this.word(RING_WAKEUPS);
  }

  #position(at: number): number {
    return this.word(at) + this.word(at + 4) * 2 ** 32;
  }

  /** A record waits that is no longer reserved. */
  get hasData(): boolean {
    const position = this.#position(RING_CONSUMER);
    if (position >= this.#position(RING_PRODUCER)) return false;
    return (this.env.space.u32[(this.word(RING_DATA) + (position % this.maxEntries)) >>> 2] & BUSY) === 0;
  }

  #submitted(from: number, end: number): number {
    const data = this.word(RING_DATA);
    // A record may reach beyond the ring's end; the one behind it starts at the ring's start.
    const limit = Math.min(end, from + CHUNK, from - (from % this.maxEntries) + this.maxEntries);
    let position = from;
    while (position < limit) {
      const head = this.env.space.u32[(data + (position % this.maxEntries)) >>> 2];
      if (head & BUSY) break;
      position += recordSize(head);
    }
    return position;
  }

  #consumed(position: number): void {
    this.set(RING_CONSUMER, position % 2 ** 32);
    this.set(RING_CONSUMER + 4, Math.floor(position / 2 ** 32));
  }

  /**
   * Hands over each submitted record once, oldest first, up to the first that is still reserved; returns how many.
   * Records are views of a copy that some of them share.
   */
  consume(onRecord: (data: Uint8Array) => void): number {
    let n = 0;
    for (;;) {
      const start = this.#position(RING_CONSUMER);
      const end = this.#submitted(start, this.#position(RING_PRODUCER));
      if (end === start) return n;
      const at = this.word(RING_DATA) + (start % this.maxEntries);
      const chunk = this.env.space.u8.slice(at, at + (end - start));
      const heads = new Uint32Array(chunk.buffer);
      for (let offset = 0; offset < chunk.length; ) {
        const head = heads[offset >>> 2];
        const from = offset + HEADER;
        offset += recordSize(head);
        this.#consumed(start + offset);
        if (head & DISCARD) continue;
        n++;
        onRecord(new Uint8Array(chunk.buffer, from, head));
        // The callback has read on by itself.
        if (this.#position(RING_CONSUMER) !== start + offset) break;
      }
    }
  }
}

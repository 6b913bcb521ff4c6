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

  /** Hands over each submitted record once, oldest first, up to the first that is still reserved; returns how many. */
  consume(onRecord: (data: Uint8Array) => void): number {
    let n = 0;
    let position = this.#position(RING_CONSUMER);
    while (position < this.#position(RING_PRODUCER)) {
      const at = this.word(RING_DATA) + (position % this.maxEntries);
      const head = this.env.space.u32[at >>> 2];
      if (head & BUSY) break;
      const length = head & ~DISCARD;
      const data = head & DISCARD ? undefined : this.env.space.u8.slice(at + HEADER, at + HEADER + length);
      position += Math.ceil((length + HEADER) / 8) * 8;
      this.set(RING_CONSUMER, position % 2 ** 32);
      this.set(RING_CONSUMER + 4, Math.floor(position / 2 ** 32));
      if (data === undefined) continue;
      n++;
      onRecord(data);
    }
    return n;
  }
}

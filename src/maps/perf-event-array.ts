// BPF_MAP_TYPE_PERF_EVENT_ARRAY (kernel/bpf/arraymap.c, kernel/events/ring_buffer.c). There are no perf events here: a
// reader opens a sample ring for every CPU instead of storing perf event file descriptors, and consumes them.
import { EBADF, ENOTSUPP } from "../uapi/index.ts";
import { FdArrayMap } from "./fd-array.ts";
import {
  PERF_RECORD_LOST,
  PERF_RING_DATA,
  PERF_RING_HEAD,
  PERF_RING_SIZE,
  PERF_RING_TAIL,
  PERF_SLOT_CPU,
  PERF_SLOT_RING,
} from "./layout.ts";

const PAGE_SIZE = 4096;

export class PerfEventArrayMap extends FdArrayMap {
  /** Opens a ring of `pages` (a power of two) for every CPU whose element is empty; until then output is -ENOENT. */
  open(pages = 8): void {
    const cpus = Math.min(this.env.space.cpus, this.maxEntries);
    for (let cpu = 0; cpu < cpus; cpu++) {
      const at = this.values + cpu * this.stride;
      if (!this.isEmpty(at)) continue;
      // Twice the size: a record that wraps stays contiguous.
      const ring = this.env.space.alloc(PERF_RING_DATA + 2 * pages * PAGE_SIZE, "none");
      const u32 = this.env.space.u32;
      u32[(ring + PERF_RING_SIZE) >>> 2] = pages * PAGE_SIZE;
      u32[(at + PERF_SLOT_RING) >>> 2] = ring;
      u32[(at + PERF_SLOT_CPU) >>> 2] = cpu;
    }
  }

  /** A sample waits. */
  get hasData(): boolean {
    for (let i = 0; i < this.maxEntries; i++) {
      const ring = this.#ring(this.values + i * this.stride);
      const word = (offset: number): number => this.env.space.u32[(ring + offset) >>> 2];
      if (ring !== 0 && word(PERF_RING_TAIL) !== word(PERF_RING_HEAD)) return true;
    }
    return false;
  }

  #ring(at: number): number {
    return this.env.space.u32[(at + PERF_SLOT_RING) >>> 2];
  }

  protected override blocks(): readonly number[] {
    const blocks = [this.values];
    for (let i = 0; i < this.maxEntries; i++) {
      const ring = this.#ring(this.values + i * this.stride);
      if (ring !== 0) blocks.push(ring);
    }
    return blocks;
  }

  /**
   * Hands over each sample once, oldest first CPU by CPU; returns how many. A sample is as long as perf reports it: its
   * length plus 4 is a multiple of 8, filled up with zeros. `onLost` says how many found no room before the next one.
   */
  consume(
    onSample: (cpu: number, data: Uint8Array) => void,
    onLost?: (cpu: number, lost: number) => void,
  ): number {
    let n = 0;
    for (let i = 0; i < this.maxEntries; i++) {
      const at = this.values + i * this.stride;
      const ring = this.#ring(at);
      if (ring === 0) continue;
      const cpu = this.env.space.u32[(at + PERF_SLOT_CPU) >>> 2];
      const word = (offset: number): number => this.env.space.u32[(ring + offset) >>> 2];
      while (word(PERF_RING_TAIL) !== word(PERF_RING_HEAD)) {
        const tail = word(PERF_RING_TAIL);
        const record = ring + PERF_RING_DATA + (tail & (word(PERF_RING_SIZE) - 1));
        const { u8, u32 } = this.env.space;
        u32[(ring + PERF_RING_TAIL) >>> 2] = tail + u32[record >>> 2];
        if (u32[(record + 4) >>> 2] === PERF_RECORD_LOST) {
          onLost?.(cpu, u32[(record + 16) >>> 2]);
          continue;
        }
        n++;
        onSample(cpu, u8.slice(record + 12, record + 12 + u32[(record + 8) >>> 2]));
      }
    }
    return n;
  }

  protected override store(_at: number, _fd: number): number {
    return -EBADF;
  }

  protected override lookupElem(_key: Uint8Array, _value: Uint8Array): number {
    return -ENOTSUPP;
  }

  protected override idAt(_at: number): number {
    return 0;
  }

  protected override drop(at: number): void {
    const ring = this.#ring(at);
    this.env.space.u32[(at + PERF_SLOT_RING) >>> 2] = 0;
    this.env.space.u32[(at + PERF_SLOT_CPU) >>> 2] = 0;
    if (ring !== 0) this.env.space.free(ring);
  }
}

// BPF_MAP_TYPE_RINGBUF over its mapped pages: the consumer's, the producer's, then the data twice in a row, so that a
// record that wraps is contiguous (kernel/bpf/ringbuf.c; libbpf's ringbuf.c is the other consumer).
//
//   | consumer position | producer position | data ... | data again ... |
//   0                   1 page              2 pages
import { type Mapping, PROT_READ, PROT_WRITE, type Syscalls } from "./syscall.ts";

const HEADER = 8;
const BUSY = 0x80000000;
const DISCARD = 0x40000000;
/** What is copied at a time, and after how much producers are told that there is room. */
const CHUNK = 1 << 16;

/** Of a record with its header, from the header's length word. */
function recordSize(head: number): number {
  return ((head & ~DISCARD) + HEADER + 7) & ~7;
}

export class RingbufReader {
  readonly #consumerMap: Mapping;
  readonly #producerMap: Mapping;
  readonly #consumer: BigInt64Array;
  readonly #producer: BigInt64Array;
  readonly #bytes: Uint8Array;
  readonly #heads: Int32Array;
  readonly #size: number;
  #position: number;

  /** `size`: the map's max_entries. A negative errno where it cannot be mapped. */
  static open(sys: Syscalls, fd: number, size: number): RingbufReader | number {
    const page = sys.pageSize;
    const consumer = sys.mmap(fd, page, PROT_READ | PROT_WRITE, 0);
    if (typeof consumer === "number") return consumer;
    const producer = sys.mmap(fd, page + 2 * size, PROT_READ, page);
    if (typeof producer === "number") {
      consumer.unmap();
      return producer;
    }
    return new RingbufReader(consumer, producer, page, size);
  }

  private constructor(consumer: Mapping, producer: Mapping, page: number, size: number) {
    this.#consumerMap = consumer;
    this.#producerMap = producer;
    this.#consumer = new BigInt64Array(consumer.buffer, 0, 1);
    this.#producer = new BigInt64Array(producer.buffer, 0, 1);
    this.#bytes = new Uint8Array(producer.buffer, page, 2 * size);
    this.#heads = new Int32Array(producer.buffer, page, size / 2);
    this.#size = size;
    this.#position = Number(Atomics.load(this.#consumer, 0));
  }

  /** Where the submitted records end that start at `from`, at most CHUNK bytes away; `end` is the producer's position. */
  #submitted(from: number, end: number): number {
    let position = from;
    while (position < end && position - from < CHUNK) {
      // Positions grow beyond 2^32; a remainder is exact where a mask is not.
      const head = Atomics.load(this.#heads, (position % this.#size) >>> 2);
      if (head & BUSY) break;
      position += recordSize(head);
    }
    return position;
  }

  /**
   * Hands over each submitted record once, oldest first, up to the first that is still reserved; returns how many. The
   * records of a chunk are views of one copy: an array of its own for each, with the buffer that goes with it, costs
   * ten times as much.
   */
  consume(onRecord: (data: Uint8Array) => void): number {
    let n = 0;
    for (;;) {
      const start = this.#position;
      const end = this.#submitted(start, Number(Atomics.load(this.#producer, 0)));
      if (end === start) return n;
      const at = start % this.#size;
      const chunk = this.#bytes.slice(at, at + (end - start));
      const heads = new Int32Array(chunk.buffer);
      try {
        for (let offset = 0; offset < chunk.length; ) {
          const head = heads[offset >>> 2]!;
          const from = offset + HEADER;
          offset += recordSize(head);
          this.#position = start + offset;
          if (head & DISCARD) continue;
          n++;
          onRecord(new Uint8Array(chunk.buffer, from, head));
          // The callback has read on by itself.
          if (this.#position !== start + offset) break;
        }
      } finally {
        // Producers find room from here on.
        Atomics.store(this.#consumer, 0, BigInt(this.#position));
      }
    }
  }

  close(): void {
    this.#consumerMap.unmap();
    this.#producerMap.unmap();
  }
}

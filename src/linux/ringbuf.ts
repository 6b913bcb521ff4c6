// BPF_MAP_TYPE_RINGBUF over its mapped pages: the consumer's, the producer's, then the data twice in a row, so that a
// record that wraps is contiguous (kernel/bpf/ringbuf.c; libbpf's ringbuf.c is the other consumer).
//
//   | consumer position | producer position | data ... | data again ... |
//   0                   1 page              2 pages
import { type Mapping, PROT_READ, PROT_WRITE, type Syscalls } from "./syscall.ts";

const HEADER = 8;
const BUSY = 0x80000000;
const DISCARD = 0x40000000;
/** Positions are told to the kernel this often, so that producers find room while a long batch is read. */
const PUBLISH_EVERY = 1 << 16;

export class RingbufReader {
  readonly #consumerMap: Mapping;
  readonly #producerMap: Mapping;
  readonly #consumer: BigInt64Array;
  readonly #producer: BigInt64Array;
  readonly #bytes: Uint8Array;
  readonly #heads: Int32Array;
  readonly #mask: number;
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
    this.#mask = size - 1;
    this.#position = Number(Atomics.load(this.#consumer, 0));
  }

  /** Hands over each submitted record once, oldest first, up to the first that is still reserved; returns how many. */
  consume(onRecord: (data: Uint8Array) => void): number {
    let n = 0;
    let position = this.#position;
    let published = position;
    let end = Number(Atomics.load(this.#producer, 0));
    try {
      for (;;) {
        if (position === end) {
          end = Number(Atomics.load(this.#producer, 0));
          if (position === end) break;
        }
        // Positions grow beyond 2^32; a remainder is exact where a mask is not.
        const at = position % (this.#mask + 1);
        const head = Atomics.load(this.#heads, at >>> 2);
        if (head & BUSY) break;
        const length = head & ~DISCARD;
        position += (length + HEADER + 7) & ~7;
        if (!(head & DISCARD)) {
          n++;
          onRecord(this.#bytes.slice(at + HEADER, at + HEADER + length));
        }
        if (position - published >= PUBLISH_EVERY) {
          Atomics.store(this.#consumer, 0, BigInt(position));
          published = position;
        }
      }
    } finally {
      this.#position = position;
      if (position !== published) Atomics.store(this.#consumer, 0, BigInt(position));
    }
    return n;
  }

  close(): void {
    this.#consumerMap.unmap();
    this.#producerMap.unmap();
  }
}

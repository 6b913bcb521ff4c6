// BPF_MAP_TYPE_PERF_EVENT_ARRAY: an output event for every online CPU, its ring mapped, its records read in order
// (kernel/events/ring_buffer.c; libbpf's perf_buffer is the other consumer).
import { PERF_EVENT_ATTR } from "./attr.ts";
import { packStruct } from "./struct.ts";
import { type Mapping, PROT_READ, PROT_WRITE, readOnlineCpus, type Syscalls } from "./syscall.ts";

const PERF_TYPE_SOFTWARE = 1;
const PERF_COUNT_SW_BPF_OUTPUT = 10n;
const PERF_SAMPLE_RAW = 1 << 10;
const PERF_FLAG_FD_CLOEXEC = 8;
const PERF_EVENT_IOC_ENABLE = 0x2400;
const PERF_RECORD_LOST = 2;
const PERF_RECORD_SAMPLE = 9;
/** Offsets in struct perf_event_mmap_page. */
const DATA_HEAD = 1024;
const DATA_TAIL = 1032;
const RING_PAGES = 64;

interface CpuRing {
  readonly cpu: number;
  readonly fd: number;
  readonly map: Mapping;
  readonly positions: BigInt64Array;
  readonly data: Uint8Array;
}

export class PerfReader {
  readonly #sys: Syscalls;
  readonly #rings: CpuRing[] = [];

  /** `store` puts an event's fd into the array; a negative errno where an event cannot be had. */
  static open(
    sys: Syscalls,
    maxEntries: number,
    store: (cpu: number, fd: number) => number,
  ): PerfReader | number {
    const reader = new PerfReader(sys);
    for (const cpu of readOnlineCpus()) {
      if (cpu >= maxEntries) continue;
      const err = reader.#add(cpu, store);
      if (err < 0) {
        reader.close();
        return err;
      }
    }
    return reader;
  }

  private constructor(sys: Syscalls) {
    this.#sys = sys;
  }

  /** For epoll. */
  get fds(): number[] {
    return this.#rings.map((ring) => ring.fd);
  }

  #add(cpu: number, store: (cpu: number, fd: number) => number): number {
    const sys = this.#sys;
    const attr = new Uint8Array(PERF_EVENT_ATTR.size);
    packStruct(
      PERF_EVENT_ATTR,
      {
        type: PERF_TYPE_SOFTWARE,
        size: attr.length,
        config: PERF_COUNT_SW_BPF_OUTPUT,
        sample_period: 1,
        sample_type: PERF_SAMPLE_RAW,
        wakeup_events: 1,
      },
      attr,
    );
    const fd = sys.perfEventOpen(attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) return fd;
    const map = sys.mmap(fd, sys.pageSize * (1 + RING_PAGES), PROT_READ | PROT_WRITE, 0);
    if (typeof map === "number") {
      sys.close(fd);
      return map;
    }
    this.#rings.push({
      cpu,
      fd,
      map,
      positions: new BigInt64Array(map.buffer, DATA_HEAD, 2),
      data: new Uint8Array(map.buffer, sys.pageSize),
    });
    const err = store(cpu, fd);
    return err < 0 ? err : sys.ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
  }

  consume(
    onSample: (cpu: number, data: Uint8Array) => void,
    onLost?: (cpu: number, lost: number) => void,
  ): number {
    let n = 0;
    for (const ring of this.#rings) {
      const head = Number(Atomics.load(ring.positions, 0));
      let tail = Number(ring.positions[(DATA_TAIL - DATA_HEAD) / 8]);
      while (tail !== head) {
        const { type, record } = recordAt(ring.data, tail);
        tail += record.length;
        const view = new DataView(record.buffer, record.byteOffset, record.length);
        if (type === PERF_RECORD_SAMPLE) {
          n++;
          onSample(ring.cpu, record.slice(12, 12 + view.getUint32(8, true)));
        } else if (type === PERF_RECORD_LOST) onLost?.(ring.cpu, Number(view.getBigUint64(16, true)));
      }
      Atomics.store(ring.positions, 1, BigInt(tail));
    }
    return n;
  }

  close(): void {
    for (const ring of this.#rings.splice(0)) {
      ring.map.unmap();
      this.#sys.close(ring.fd);
    }
  }
}

/** struct perf_event_header { u32 type; u16 misc; u16 size } and what follows, in one piece. */
function recordAt(data: Uint8Array, tail: number): { type: number; record: Uint8Array } {
  const at = tail % data.length;
  // Records are multiples of 8 bytes: the header never wraps.
  const view = new DataView(data.buffer, data.byteOffset + at, 8);
  const type = view.getUint32(0, true);
  const size = view.getUint16(6, true);
  if (at + size <= data.length) return { type, record: data.subarray(at, at + size) };
  const record = new Uint8Array(size);
  record.set(data.subarray(at));
  record.set(data.subarray(0, at + size - data.length), data.length - at);
  return { type, record };
}

/** Consumers of ring buffers and perf event arrays (ring_buffer, perf_buffer of libbpf). */
import type { Backend } from "../backend/index.ts";
import { type Btf, type BtfValue, formatValue } from "../btf/index.ts";

/** A type that every record is; without one, records are bytes. */
export interface RecordType {
  readonly btf: Btf;
  readonly typeId: number;
}

function decode(type: RecordType | undefined, data: Uint8Array): BtfValue {
  return type === undefined ? data : formatValue(type.btf, type.typeId, data);
}

export class RingBuffer {
  readonly #backend: Backend;
  readonly #fd: number;
  readonly #type: RecordType | undefined;

  constructor(backend: Backend, fd: number, type?: RecordType) {
    this.#backend = backend;
    this.#fd = fd;
    this.#type = type;
  }

  /** Hands every new record to `onRecord`, oldest first; returns how many there were. */
  consume(onRecord: (record: BtfValue) => void): number {
    return this.#backend.ringbufConsume(this.#fd, (data) => onRecord(decode(this.#type, data)));
  }
}

export class PerfBuffer {
  readonly #backend: Backend;
  readonly #fd: number;
  readonly #type: RecordType | undefined;

  constructor(backend: Backend, fd: number, type?: RecordType) {
    this.#backend = backend;
    this.#fd = fd;
    this.#type = type;
  }

  /** Hands every new sample to `onSample`, CPU by CPU; returns how many there were. */
  consume(
    onSample: (sample: BtfValue, cpu: number) => void,
    onLost?: (cpu: number, lost: number) => void,
  ): number {
    return this.#backend.perfConsume(
      this.#fd,
      (cpu, data) => onSample(decode(this.#type, data), cpu),
      onLost,
    );
  }
}

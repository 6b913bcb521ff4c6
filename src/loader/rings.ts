/** Consumers of ring buffers and perf event arrays (ring_buffer, perf_buffer of libbpf). */
import type { Backend } from "../backend/index.ts";
import { type Btf, type BtfValue, formatValue } from "../btf/index.ts";
import { BackendError } from "../diag/index.ts";
import { errnoName } from "../uapi/index.ts";

/** A type that every record is; without one, records are bytes. */
export interface RecordType {
  readonly btf: Btf;
  readonly typeId: number;
}

function decode(type: RecordType | undefined, data: Uint8Array): BtfValue {
  return type === undefined ? data : formatValue(type.btf, type.typeId, data);
}

function check(what: string, n: number): number {
  if (n < 0) throw new BackendError(what, errnoName(-n), -n);
  return n;
}

/** What a consumer reads comes one by one; what a loop did not take waits for the next one. */
async function* iterate<T>(
  queue: T[],
  fill: () => void,
  wait: () => Promise<void>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  let at = 0;
  try {
    for (;;) {
      while (at < queue.length) yield queue[at++]!;
      queue.length = at = 0;
      if (signal?.aborted === true) return;
      fill();
      if (queue.length === 0) await wait();
    }
  } finally {
    queue.splice(0, at);
  }
}

export class RingBuffer {
  readonly #backend: Backend;
  readonly #fd: number;
  readonly #type: RecordType | undefined;
  readonly #queue: BtfValue[] = [];

  constructor(backend: Backend, fd: number, type?: RecordType) {
    this.#backend = backend;
    this.#fd = fd;
    this.#type = type;
  }

  /** Hands every new record to `onRecord`, oldest first; returns how many there were. */
  consume(onRecord: (record: BtfValue) => void): number {
    const n = this.#backend.ringbufConsume(this.#fd, (data) => onRecord(decode(this.#type, data)));
    return check("ring buffer, consume", n);
  }

  /** Records as they come, until `signal` aborts. One loop at a time. */
  records(signal?: AbortSignal): AsyncGenerator<BtfValue, void, undefined> {
    return iterate(
      this.#queue,
      () => this.consume((record) => this.#queue.push(record)),
      () => this.#backend.pollMap(this.#fd, signal),
      signal,
    );
  }

  /** `for await (const record of ring)`: ends when the loop does. */
  [Symbol.asyncIterator](): AsyncGenerator<BtfValue, void, undefined> {
    return this.records();
  }
}

export interface PerfSample {
  readonly cpu: number;
  readonly sample: BtfValue;
}

export class PerfBuffer {
  readonly #backend: Backend;
  readonly #fd: number;
  readonly #type: RecordType | undefined;
  readonly #queue: PerfSample[] = [];

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
    const n = this.#backend.perfConsume(
      this.#fd,
      (cpu, data) => onSample(decode(this.#type, data), cpu),
      onLost,
    );
    return check("perf buffer, consume", n);
  }

  /** Samples as they come, until `signal` aborts. One loop at a time. */
  samples(
    signal?: AbortSignal,
    onLost?: (cpu: number, lost: number) => void,
  ): AsyncGenerator<PerfSample, void, undefined> {
    return iterate(
      this.#queue,
      () => this.consume((sample, cpu) => this.#queue.push({ cpu, sample }), onLost),
      () => this.#backend.pollMap(this.#fd, signal),
      signal,
    );
  }

  [Symbol.asyncIterator](): AsyncGenerator<PerfSample, void, undefined> {
    return this.samples();
  }
}

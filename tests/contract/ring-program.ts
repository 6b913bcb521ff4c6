// Programs that fill rings, for both kernels.
import type { Backend } from "../../src/backend/index.ts";
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_RINGBUF,
  BPF_PROG_TYPE_SCHED_CLS,
  errnoName,
} from "../../src/uapi/index.ts";
import { insnsOf } from "../kernel/notation.ts";

export interface RingProgram {
  /** The ring. */
  readonly map: number;
  readonly prog: number;
  /** Output that found no room, so far. */
  failures(): number;
  /** Runs of `events` records each, which count on from run to run in their first 8 bytes. */
  run(repeat?: number): void;
  close(): void;
}

/**
 * A state map holds { next: u64, failed: u64 } and the record behind them. r6: state, r7: how many are left.
 */
function text(output: string, events: number): string {
  return `
    r8 = r1
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    ld_pseudo r1, 1, %state
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r6 = r0
    r7 = ${events}
  again:
    r1 = *(u64 *)(r6 + 0)
    *(u64 *)(r6 + 16) = r1
    r1 += 1
    *(u64 *)(r6 + 0) = r1
    ${output}
    if r0 == 0 goto sent
    r1 = *(u64 *)(r6 + 8)
    r1 += 1
    *(u64 *)(r6 + 8) = r1
  sent:
    r7 += -1
    if r7 != 0 goto again
  out:
    r0 = 0
    exit`;
}

const RINGBUF = (size: number): string => `
    ld_pseudo r1, 1, %ring
    r2 = r6
    r2 += 16
    r3 = ${size}
    r4 = 0
    call bpf_ringbuf_output`;

const PERF = (size: number): string => `
    r1 = r8
    ld_pseudo r2, 1, %ring
    r3 = 0xffffffff ll
    r4 = r6
    r4 += 16
    r5 = ${size}
    call bpf_perf_event_output`;

export interface RingOptions {
  readonly kind: "ringbuf" | "perf";
  readonly events: number;
  readonly size: number;
  /** Bytes of the ring buffer. */
  readonly bytes?: number;
}

export function openRingProgram(backend: Backend, options: RingOptions): RingProgram {
  const { kind, events, size } = options;
  const state = backend.mapCreate({
    map_type: BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: 16 + size,
    max_entries: 1,
  });
  const map = backend.mapCreate(
    kind === "ringbuf"
      ? { map_type: BPF_MAP_TYPE_RINGBUF, key_size: 0, value_size: 0, max_entries: options.bytes ?? 4096 }
      : {
          map_type: BPF_MAP_TYPE_PERF_EVENT_ARRAY,
          key_size: 4,
          value_size: 4,
          max_entries: backend.possibleCpus,
        },
  );
  const body = text(kind === "ringbuf" ? RINGBUF(size) : PERF(size), events);
  const { fd: prog, log } = backend.progLoad({
    prog_type: BPF_PROG_TYPE_SCHED_CLS,
    insns: insnsOf(body, { state, ring: map }),
    license: "GPL",
    log_level: 1,
  });
  if (prog < 0) throw new Error(`${backend.name}: ${errnoName(-prog)}\n${log}`);
  const packet = new Uint8Array(64);
  return {
    map,
    prog,
    failures() {
      const value = new Uint8Array(16 + size);
      backend.mapLookupElem(state, new Uint8Array(4), value);
      return Number(new DataView(value.buffer).getBigUint64(8, true));
    },
    run(repeat = 1) {
      const { err } = backend.progTestRun(prog, { data_in: packet, repeat });
      if (err !== 0) throw new Error(`${backend.name}: test run: ${errnoName(-err)}`);
    },
    close() {
      for (const fd of [prog, map, state]) backend.close(fd);
    },
  };
}

/** The count that a record begins with, of which the lower half is enough here. */
export function countOf(record: Uint8Array): number {
  return (record[0]! | (record[1]! << 8) | (record[2]! << 16) | (record[3]! << 24)) >>> 0;
}

// BPF_MAP_TYPE_RINGBUF as programs produce into it (kernel/bpf/ringbuf.c). src/maps/layout.ts draws a record. A reserved
// record's payload is painted until it is submitted or discarded; headers never are, so a header in front of painted
// payload is one that was written here.
import {
  MAP_MAX_ENTRIES,
  MAP_SLOT,
  MAP_TYPE,
  RING_CONSUMER,
  RING_DATA,
  RING_MASK,
  RING_PENDING,
  RING_PRODUCER,
  RING_WAKEUPS,
} from "../../src/maps/layout";
import { PERM_NONE, PERM_RW, check_read, check_write, paint } from "../shadow";
import { copyBytes } from "./bytes";
import { EAGAIN, EFAULT, EINVAL } from "./errno";
import { mapInSlot, mapOf, pointer } from "./registry";
import { BPF_MAP_TYPE_RINGBUF } from "./types";

const HEADER: u32 = 8;
const BUSY: u32 = 0x80000000;
const DISCARD: u32 = 0x40000000;
const LONGEST: u64 = 0x3fffffff;
const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;

// @ts-ignore: decorator
@inline
function recordSize(length: u32): u32 {
  return ((length & ~(BUSY | DISCARD)) + HEADER + 7) & ~7;
}

/** Offset of the payload of a new busy record, or 0. */
function reserve(map: u32, size: u64): u32 {
  if (size > LONGEST) return 0;
  const bytes = recordSize(<u32>size);
  if (bytes > load<u32>(map, MAP_MAX_ENTRIES)) return 0;
  const data = load<u32>(map, RING_DATA);
  const mask = load<u32>(map, RING_MASK);
  const producer = load<u64>(map, RING_PRODUCER);
  let pending = load<u64>(map, RING_PENDING);
  while (pending < producer) {
    const length = load<u32>(data + (<u32>pending & mask));
    if (length & BUSY) break;
    pending += recordSize(length);
  }
  store<u64>(map, pending, RING_PENDING);
  const end = producer + bytes;
  // Neither unread records nor the span from the oldest busy one may exceed the ring's size - 1.
  if (end - load<u64>(map, RING_CONSUMER) > mask || end - pending > mask) return 0;
  const record = data + (<u32>producer & mask);
  store<u32>(record, <u32>size | BUSY);
  store<u32>(record, load<u32>(map, MAP_SLOT), 4);
  store<u64>(map, end, RING_PRODUCER);
  return record + HEADER;
}

function commit(map: u32, sample: u32, flags: u64, discard: bool): void {
  const record = sample - HEADER;
  const length = load<u32>(record) ^ BUSY;
  store<u32>(record, discard ? length | DISCARD : length);
  const at = record - load<u32>(map, RING_DATA);
  const caughtUp = (<u32>load<u64>(map, RING_CONSUMER) & load<u32>(map, RING_MASK)) == at;
  if (flags & BPF_RB_FORCE_WAKEUP || (caughtUp && !(flags & BPF_RB_NO_WAKEUP)))
    store<u32>(map, load<u32>(map, RING_WAKEUPS) + 1, RING_WAKEUPS);
}

/** The ring that `sample` is a reserved record of; 0: of none. */
function ringOf(sample: u32): u32 {
  if ((sample & 7) != 0 || sample < HEADER || <u64>sample > <u64>memory.size() << 16) return 0;
  const record = sample - HEADER;
  const length = load<u32>(record);
  if (!(length & BUSY)) return 0;
  const map = mapInSlot(load<u32>(record, 4));
  if (map == 0 || load<u32>(map, MAP_TYPE) != BPF_MAP_TYPE_RINGBUF) return 0;
  const at = record - load<u32>(map, RING_DATA);
  if (at > load<u32>(map, RING_MASK)) return 0;
  const size = length ^ BUSY;
  if (check_read(record, 1) || size > load<u32>(map, MAP_MAX_ENTRIES)) return 0;
  return size == 0 || check_write(sample, size) ? map : 0;
}

// @ts-ignore: decorator
@inline
function ringArgument(r: u64): u32 {
  const map = mapOf(r);
  return map != 0 && load<u32>(map, MAP_TYPE) == BPF_MAP_TYPE_RINGBUF ? map : 0;
}

/** Reserves and paints; 0: no room. */
export function ringbufReserve(map: u32, size: u64): u32 {
  const sample = reserve(map, size);
  if (sample != 0 && size != 0) paint(sample, <u32>size, PERM_RW);
  return sample;
}

/** Commits a reserved record; false: `sample` is none. */
export function ringbufCommit(sample: u32, flags: u64, discard: bool): bool {
  const map = ringOf(sample);
  if (map == 0) return false;
  const size = load<u32>(sample - HEADER) ^ BUSY;
  if (size != 0) paint(sample, size, PERM_NONE);
  commit(map, sample, flags, discard);
  return true;
}

export function bpf_ringbuf_reserve(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const map = ringArgument(r1);
  return map == 0 || r3 != 0 ? 0 : pointer(ringbufReserve(map, r2));
}

export function bpf_ringbuf_submit(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return ringbufCommit(<u32>r1, r2, false) ? 0 : <u64>(-EFAULT);
}

export function bpf_ringbuf_discard(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return ringbufCommit(<u32>r1, r2, true) ? 0 : <u64>(-EFAULT);
}

export function bpf_ringbuf_output(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const map = ringArgument(r1);
  if (map == 0 || r4 & ~(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP)) return <u64>(-EINVAL);
  if (r3 > LONGEST) return <u64>(-EAGAIN);
  const size = <u32>r3;
  if (size != 0 && !check_read(<u32>r2, size)) return <u64>(-EFAULT);
  const sample = reserve(map, size);
  if (sample == 0) return <u64>(-EAGAIN);
  copyBytes(sample, <u32>r2, size);
  commit(map, sample, r4, false);
  return 0;
}

export function bpf_ringbuf_query(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const map = ringArgument(r1);
  if (map == 0) return 0;
  if (r2 == 0) return load<u64>(map, RING_PRODUCER) - load<u64>(map, RING_CONSUMER);
  if (r2 == 1) return <u64>load<u32>(map, MAP_MAX_ENTRIES);
  if (r2 == 2) return load<u64>(map, RING_CONSUMER);
  return r2 == 3 ? load<u64>(map, RING_PRODUCER) : 0;
}

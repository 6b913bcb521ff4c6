// BPF_MAP_TYPE_PERF_EVENT_ARRAY and bpf_perf_event_output (kernel/trace/bpf_trace.c, net/core/filter.c). A slot holds a
// sample ring for one CPU; src/maps/layout.ts draws it. Whoever reads the samples opens the rings first: an empty slot
// is -ENOENT, as without a perf event.
import {
  MAP_MAX_ENTRIES,
  MAP_STRIDE,
  MAP_TYPE,
  MAP_VALUES,
  PERF_RECORD_LOST,
  PERF_RECORD_SAMPLE,
  PERF_RING_DATA,
  PERF_RING_HEAD,
  PERF_RING_LOST,
  PERF_RING_SIZE,
  PERF_RING_TAIL,
  PERF_SLOT_CPU,
  PERF_SLOT_RING,
} from "../../src/maps/layout";
import { CPU_CTX, CPU_ID, CPU_PROG_TYPE } from "../../src/vm/layout";
import { cpu } from "../env";
import { check_read } from "../shadow";
import { copyBytes } from "./bytes";
import { E2BIG, EFAULT, EINVAL, ENOENT, ENOSPC, EOPNOTSUPP } from "./errno";
import { mapOf } from "./registry";
import { BPF_MAP_TYPE_PERF_EVENT_ARRAY } from "./types";

const BPF_F_INDEX_MASK: u64 = 0xffffffff;
const BPF_F_CTXLEN_MASK: u64 = 0xfffff00000000;
const HEADER: u32 = 8;
const LOST_SIZE: u32 = 24;
/** A record's length is a u16 in the kernel's ring. */
const LONGEST: u32 = 0xfff8;

// enum bpf_prog_type, where struct __sk_buff and struct xdp_md keep `data`; data_end follows.
const BPF_PROG_TYPE_SOCKET_FILTER: u32 = 1;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_PROG_TYPE_SCHED_ACT: u32 = 4;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_PROG_TYPE_CGROUP_SKB: u32 = 8;
const BPF_PROG_TYPE_LWT_XMIT: u32 = 12;
const BPF_PROG_TYPE_SK_SKB: u32 = 14;
const SK_BUFF_DATA: u32 = 76;
const XDP_MD_DATA: u32 = 0;
const NOT_A_PACKET: u32 = 0xffffffff;

function packetMember(type: u32): u32 {
  if (type == BPF_PROG_TYPE_XDP) return XDP_MD_DATA;
  if (type == BPF_PROG_TYPE_SOCKET_FILTER || type == BPF_PROG_TYPE_SCHED_CLS || type == BPF_PROG_TYPE_SCHED_ACT)
    return SK_BUFF_DATA;
  if (type == BPF_PROG_TYPE_CGROUP_SKB || type == BPF_PROG_TYPE_SK_SKB) return SK_BUFF_DATA;
  return type >= 10 && type <= BPF_PROG_TYPE_LWT_XMIT ? SK_BUFF_DATA : NOT_A_PACKET;
}

/** Appends `size` bytes of `data`, then `more` bytes of the packet. 0 or -ENOSPC, -E2BIG. */
function append(ring: u32, data: u32, size: u32, packet: u32, more: u32): i32 {
  const raw = ((size + more + 4 + 7) & ~7) - 4;
  const bytes = HEADER + 4 + raw;
  if (bytes > LONGEST) return -E2BIG;
  const lost = load<u32>(ring, PERF_RING_LOST);
  const room = load<u32>(ring, PERF_RING_SIZE);
  let head = load<u32>(ring, PERF_RING_HEAD);
  const used = head - load<u32>(ring, PERF_RING_TAIL);
  // The kernel's ring is never quite full.
  if (used + bytes + (lost != 0 ? LOST_SIZE : 0) >= room) {
    store<u32>(ring, lost + 1, PERF_RING_LOST);
    return -ENOSPC;
  }
  if (lost != 0) {
    const at = ring + PERF_RING_DATA + (head & (room - 1));
    store<u32>(at, LOST_SIZE);
    store<u32>(at, PERF_RECORD_LOST, 4);
    store<u64>(at, 0, 8);
    store<u64>(at, lost, 16);
    store<u32>(ring, 0, PERF_RING_LOST);
    head += LOST_SIZE;
  }
  const at = ring + PERF_RING_DATA + (head & (room - 1));
  store<u32>(at, bytes);
  store<u32>(at, PERF_RECORD_SAMPLE, 4);
  store<u32>(at, raw, 8);
  const sample = at + 12;
  copyBytes(sample, data, size);
  copyBytes(sample + size, packet, more);
  memory.fill(sample + size + more, 0, raw - size - more);
  store<u32>(ring, head + bytes, PERF_RING_HEAD);
  return 0;
}

function output(map: u32, flags: u64, data: u32, size: u32, packet: u32, more: u32): i32 {
  const here = load<u32>(cpu, CPU_ID);
  let index = <u32>(flags & BPF_F_INDEX_MASK);
  if (index == <u32>BPF_F_INDEX_MASK) index = here;
  if (index >= load<u32>(map, MAP_MAX_ENTRIES)) return -E2BIG;
  const slot = load<u32>(map, MAP_VALUES) + index * load<u32>(map, MAP_STRIDE);
  const ring = load<u32>(slot, PERF_SLOT_RING);
  if (ring == 0) return -ENOENT;
  if (load<u32>(slot, PERF_SLOT_CPU) != here) return -EOPNOTSUPP;
  return append(ring, data, size, packet, more);
}

/** ctx, map, flags, data, size. Networking programs may append packet bytes: their count in bits 32..51 of flags. */
export function bpf_perf_event_output(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const map = mapOf(r2);
  if (map == 0 || load<u32>(map, MAP_TYPE) != BPF_MAP_TYPE_PERF_EVENT_ARRAY) return <u64>(-EINVAL);
  const member = packetMember(load<u32>(cpu, CPU_PROG_TYPE));
  const allowed = member == NOT_A_PACKET ? BPF_F_INDEX_MASK : BPF_F_INDEX_MASK | BPF_F_CTXLEN_MASK;
  if (r3 & ~allowed) return <u64>(-EINVAL);
  let packet: u32 = 0;
  const more = <u32>((r3 & BPF_F_CTXLEN_MASK) >> 32);
  if (more != 0) {
    // The context that the run began with, whatever the program says it is.
    const ctx = load<u32>(cpu, CPU_CTX);
    packet = load<u32>(ctx + member);
    if (more > load<u32>(ctx + member, 4) - packet || !check_read(packet, more)) return <u64>(-EFAULT);
  }
  if (r5 > LONGEST) return <u64>(-E2BIG);
  if (r5 != 0 && !check_read(<u32>r4, <u32>r5)) return <u64>(-EFAULT);
  return <u64>output(map, r3, <u32>r4, <u32>r5, packet, more);
}

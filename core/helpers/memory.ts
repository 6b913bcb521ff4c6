// bpf_probe_read* (kernel/trace/bpf_trace.c), bpf_strncmp (kernel/bpf/helpers.c). What a program cannot read faults:
// -EFAULT and a zeroed destination. User memory is what the kernel painted too: there is one address space.
import { POINTER_HIGH } from "../../src/vm/layout";
import { check_read } from "../shadow";
import { errno, readable, writable } from "./access";

const EFAULT = 14;

// @ts-ignore: decorator
@inline
function reachable(ptr: u64, n: u32): bool {
  // Members of contexts such as __sk_buff.data carry no high half.
  const high = <u32>(ptr >>> 32);
  return (high == POINTER_HIGH || high == 0) && check_read(<u32>ptr, n);
}

function probe(r1: u64, r2: u64, r3: u64): u64 {
  const n = <u32>r2;
  const to = writable(r1, n);
  if (n == 0) return 0;
  if (reachable(r3, n)) {
    memory.copy(to, <u32>r3, n);
    return 0;
  }
  memory.fill(to, 0, n);
  return errno(EFAULT);
}

/** strncpy_from_kernel_nofault(): bytes with the closing 0, cut to fit; what lies beyond stays as it was. */
function probeString(r1: u64, r2: u64, r3: u64): u64 {
  const n = <u32>r2;
  const to = writable(r1, n);
  if (n == 0) return 0;
  let at = <u32>r3;
  for (let i: u32 = 0; i < n; i++) {
    if (!reachable((r3 & 0xffffffff00000000) | at, 1)) {
      memory.fill(to, 0, n);
      return errno(EFAULT);
    }
    const c = load<u8>(at++);
    store<u8>(to + i, i == n - 1 ? 0 : c);
    if (c == 0) return i + 1;
  }
  return n;
}

export function bpf_probe_read(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return probe(r1, r2, r3);
}

export function bpf_probe_read_str(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return probeString(r1, r2, r3);
}

export function bpf_strncmp(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const n = <u32>r2;
  const a = readable(r1, n);
  for (let i: u32 = 0; i < n; i++) {
    const x = load<u8>(a + i);
    const y = load<u8>(readable(r3 + i, 1));
    if (x != y) return x < y ? <u64>-1 : 1;
    if (x == 0) return 0;
  }
  return 0;
}

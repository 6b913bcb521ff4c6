// bpf_probe_read* (kernel/trace/bpf_trace.c, mm/maccess.c), bpf_strncmp (kernel/bpf/helpers.c). There is one address
// space: a pointer with POINTER_HIGH is the kernel's; a bare offset is user memory that the host set up, or a member of
// a context such as __sk_buff.data, which kernel reads take as well. What cannot be read faults: an errno and a zeroed
// destination.
import { POINTER_HIGH } from "../../src/vm/layout";
import { check_read } from "../shadow";
import { errno, readable, writable } from "./access";

const EFAULT = 14;
const ERANGE = 34;
const USER: u32 = 1;
const KERNEL: u32 = 2;
/** On x86-64 with 48-bit addresses: the kernel's half. */
const KERNEL_HALF: u64 = 0xffff800000000000;

// @ts-ignore: decorator
@inline
function reachable(ptr: u64, n: u32, from: u32): bool {
  const high = <u32>(ptr >>> 32);
  return (high == 0 || (high == POINTER_HIGH && (from & KERNEL) != 0)) && check_read(<u32>ptr, n);
}

/** copy_from_kernel_nofault_allowed() tells addresses that are not the kernel's apart; user reads do not. */
function failure(to: u32, n: u32, ptr: u64, from: u32): u64 {
  memory.fill(to, 0, n);
  return errno(from == KERNEL && ptr < KERNEL_HALF ? ERANGE : EFAULT);
}

function probe(r1: u64, r2: u64, ptr: u64, from: u32): u64 {
  const n = <u32>r2;
  const to = writable(r1, n);
  // access_ok() looks at the address even where nothing is to be read.
  if (n == 0) return from == USER && ptr >= KERNEL_HALF ? errno(EFAULT) : 0;
  if (!reachable(ptr, n, from)) return failure(to, n, ptr, from);
  memory.copy(to, <u32>ptr, n);
  return 0;
}

/** strncpy_from_kernel_nofault(): bytes with the closing 0, cut to fit; what lies beyond stays as it was. */
function probeString(r1: u64, r2: u64, ptr: u64, from: u32): u64 {
  const n = <u32>r2;
  const to = writable(r1, n);
  for (let i: u32 = 0; i < n; i++) {
    if (!reachable(ptr + i, 1, from)) return failure(to, n, ptr, from);
    const c = load<u8>(<u32>ptr + i);
    store<u8>(to + i, i == n - 1 ? 0 : c);
    if (c == 0) return i + 1;
  }
  return n;
}

export function bpf_probe_read(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return probe(r1, r2, r3, USER | KERNEL);
}

export function bpf_probe_read_str(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return probeString(r1, r2, r3, USER | KERNEL);
}

export function bpf_probe_read_kernel(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return probe(r1, r2, r3, KERNEL);
}

export function bpf_probe_read_kernel_str(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return probeString(r1, r2, r3, KERNEL);
}

export function bpf_probe_read_user(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return probe(r1, r2, r3, USER);
}

export function bpf_probe_read_user_str(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return probeString(r1, r2, r3, USER);
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

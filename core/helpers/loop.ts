// bpf_loop (kernel/bpf/bpf_iter.c) for jitted programs; the interpreter makes the callback a frame of its own.
import {
  CPU_FP,
  CPU_ID,
  CPU_STACK_BASE,
  CPU_STACK_SIZE,
  FAULT_CALL,
  FAULT_STACK,
  FRAME_SIZE,
  TABLE_BASE,
} from "../../src/vm/layout";
import { cpu } from "../env";
import { errno, fault } from "./access";

const E2BIG = 7;
const EINVAL = 22;
const BPF_MAX_LOOPS: u32 = 8 << 20;

/** The frame of a callback: the one below the caller's. Faults when the stack ends there. */
export function callbackFrame(): u32 {
  const fp = load<u32>(cpu + CPU_FP) - FRAME_SIZE;
  if (fp - FRAME_SIZE < <u32>CPU_STACK_BASE + load<u32>(cpu + CPU_ID) * CPU_STACK_SIZE) fault(FAULT_STACK, fp);
  return fp;
}

export function bpf_loop(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const count = <u32>r1;
  if (r4 != 0) return errno(EINVAL);
  if (count > BPF_MAX_LOOPS) return errno(E2BIG);
  const callback = <u32>r2;
  if (callback < <u32>TABLE_BASE) fault(FAULT_CALL, r2);
  const fp = callbackFrame();
  let i: u32 = 0;
  while (i < count) {
    i++;
    if (call_indirect<u64>(callback, fp, <u64>(i - 1), r3, <u64>0, <u64>0, <u64>0) != 0) break;
  }
  return i;
}

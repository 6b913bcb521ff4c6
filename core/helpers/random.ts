// bpf_get_prandom_u32 and what a CPU knows of itself.
import { CPU_ID, CPU_RANDOM } from "../../src/vm/layout";
import { cpu } from "../env";

/** xorshift64*: the upper half of the product. The state is never 0. */
export function bpf_get_prandom_u32(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  let x = load<u64>(cpu + CPU_RANDOM);
  x ^= x >>> 12;
  x ^= x << 25;
  x ^= x >>> 27;
  store<u64>(cpu + CPU_RANDOM, x);
  return (x * 0x2545f4914f6cdd1d) >>> 32;
}

export function bpf_get_smp_processor_id(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return load<u32>(cpu + CPU_ID);
}

/** One node. */
export function bpf_get_numa_node_id(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  return 0;
}

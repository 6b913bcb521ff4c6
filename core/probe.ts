// Loads through BTF pointers (BPF_PROBE_MEM): such a pointer was never checked, and a load that would fault reads zero.
import { POINTER_HIGH, PROBE_SIGNED, PROBE_SIZE, SHADOW_BASE } from "../src/vm/layout";
import { maxBytes } from "./env";

/** What a load of kind `kind` (PROBE_*) at the pointer `address` gives: extended to 64 bits, or zero. */
export function probe_read(address: u64, kind: u32): u64 {
  const at = <u32>address;
  const n: u32 = 1 << (kind & PROBE_SIZE);
  if (<u32>(address >> 32) != <u32>POINTER_HIGH || at >= maxBytes) return 0;
  if (<u32>load<u8>(SHADOW_BASE + (at >>> 3)) < (at & 7) + n) return 0;
  switch (kind) {
    case 0:
      return load<u8>(at);
    case 1:
      return load<u16>(at);
    case 2:
      return load<u32>(at);
    case 3:
      return load<u64>(at);
    case PROBE_SIGNED:
      return load<i8>(at);
    case PROBE_SIGNED | 1:
      return load<i16>(at);
    default:
      return load<i32>(at);
  }
}

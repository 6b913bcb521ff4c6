/** The packet may have moved: pointers into it are worth nothing any more. clear_all_pkt_pointers(). */
import type { Env } from "../env.ts";
import { invalidateRegs } from "./references.ts";
import type { RegState } from "./reg.ts";
import {
  baseType,
  DYNPTR_TYPE_SKB,
  DYNPTR_TYPE_SKB_META,
  DYNPTR_TYPE_XDP,
  PTR_TO_MEM,
  PTR_TO_PACKET,
  PTR_TO_PACKET_END,
  PTR_TO_PACKET_META,
} from "./reg-type.ts";

const SLICES: number = DYNPTR_TYPE_SKB | DYNPTR_TYPE_XDP | DYNPTR_TYPE_SKB_META;

/** Into the packet, or a slice of it: reg_is_pkt_pointer_any(), reg_is_dynptr_slice_pkt(). */
function intoPacket(reg: RegState): boolean {
  const base = baseType(reg.type);
  return (
    base === PTR_TO_PACKET ||
    base === PTR_TO_PACKET_META ||
    base === PTR_TO_PACKET_END ||
    (base === PTR_TO_MEM && (reg.type & SLICES) !== 0)
  );
}

export function clearAllPktPointers(env: Env): void {
  invalidateRegs(env, intoPacket);
}

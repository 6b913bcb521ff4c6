/** Packet pointers compared with the packet's end: how many bytes may be accessed from there. */
import { BPF_JGE, BPF_JGT, BPF_JLE, BPF_JLT } from "../../uapi/index.ts";
import { AT_PKT_END, BEYOND_PKT_END } from "../numbers/branch-taken.ts";
import { umaxOf } from "../numbers/range.ts";
import { changeRegs } from "../state/references.ts";
import type { RegState } from "../state/reg.ts";
import { PTR_TO_PACKET, PTR_TO_PACKET_END, PTR_TO_PACKET_META } from "../state/reg-type.ts";
import type { VerifierState } from "../state/state.ts";

const MAX_PACKET_OFF = 0xffff;

/** In `state`, `pkt` lies before (`open`: strictly) the packet's end: find_good_pkt_pointers(). */
function markGood(state: VerifierState, pkt: RegState, open: boolean): void {
  if (pkt.off < 0 || (pkt.off === 0 && open)) return;
  const umax = umaxOf(pkt);
  if (umax > MAX_PACKET_OFF || umax + pkt.off > MAX_PACKET_OFF) return;
  const range = open ? pkt.off + 1 : pkt.off;
  const { type, id } = pkt;
  changeRegs(
    state,
    (reg) => reg.type === type && reg.id === id && reg.range < range,
    (reg) => {
      reg.range = range;
    },
  );
}

/** In `state`, register `r` is at (`beyond`: past) the packet's end: mark_pkt_end(). */
function markEnd(state: VerifierState, r: number, beyond: boolean): void {
  if (state.frame.regs[r]!.type !== PTR_TO_PACKET) return;
  state.frame.own(r).range = beyond ? BEYOND_PKT_END : AT_PKT_END;
}

/** reg_is_init_pkt_pointer(): the packet's start as the context gave it. */
function isPacketStart(reg: RegState): boolean {
  return (
    reg.type === PTR_TO_PACKET &&
    reg.id === 0 &&
    reg.off === 0 &&
    (reg.valueLo | reg.valueHi | reg.maskLo | reg.maskHi) === 0
  );
}

/** A pointer and the end of its region (the metadata end where the packet starts). */
function isPair(pkt: RegState, end: RegState): boolean {
  return (
    (pkt.type === PTR_TO_PACKET && end.type === PTR_TO_PACKET_END) ||
    (pkt.type === PTR_TO_PACKET_META && isPacketStart(end))
  );
}

/**
 * "R`dst` op R`src`", 64 bits wide: false if this is no such comparison. `taken` and `other` are the states where the
 * jump is taken and where it is not. try_match_pkt_pointers().
 */
export function markPacketRange(
  opcode: number,
  dst: number,
  src: number,
  taken: VerifierState,
  other: VerifierState,
): boolean {
  const a = other.frame.regs[dst]!;
  const b = other.frame.regs[src]!;
  const forward = isPair(a, b);
  if (!forward && !isPair(b, a)) return false;
  const pkt = forward ? a : b;
  const r = forward ? dst : src;
  // As "pkt op end".
  switch (opcode) {
    case BPF_JGT:
      // end > pkt: pkt is before the end where the jump is taken.
      if (forward) {
        markGood(other, pkt, false);
        markEnd(taken, r, true);
      } else {
        markGood(taken, pkt, true);
        markEnd(other, r, false);
      }
      return true;
    case BPF_JLT:
      if (forward) {
        markGood(taken, pkt, true);
        markEnd(other, r, false);
      } else {
        markGood(other, pkt, false);
        markEnd(taken, r, true);
      }
      return true;
    case BPF_JGE:
      if (forward) {
        markGood(other, pkt, true);
        markEnd(taken, r, false);
      } else {
        markGood(taken, pkt, false);
        markEnd(other, r, true);
      }
      return true;
    case BPF_JLE:
      if (forward) {
        markGood(taken, pkt, false);
        markEnd(other, r, true);
      } else {
        markGood(other, pkt, true);
        markEnd(taken, r, false);
      }
      return true;
    default:
      return false;
  }
}

// LD_ABS and LD_IND: big-endian bytes of the packet into r0 (bpf_gen_ld_abs, bpf_internal_load_pointer_neg_helper).
import { INSN_DST, INSN_IMM, INSN_SRC, STATE_CTX } from "../../src/vm/interp/layout";
import {
  SKB_DATA, SKB_MAC_HEADER, SKB_NETWORK_HEADER, SKB_TAIL, SKF_LL_OFF, SKF_NET_OFF,
} from "../../src/vm/layout";

const R6: usize = 48;

/** Loads r0; false: outside the packet, and the program ends with r0 = 0. */
export function packet(state: usize, pc: usize, indirect: bool): bool {
  const skb = load<u32>(state, R6);
  if (skb == 0 || skb != load<u32>(state, STATE_CTX)) return false;
  let at: i32 = load<i32>(pc, INSN_IMM);
  if (indirect) at += load<i32>(state + load<u16>(pc, INSN_SRC));
  let base = load<u32>(skb, SKB_DATA);
  if (at < SKF_LL_OFF) return false;
  if (at < SKF_NET_OFF) {
    base = load<u32>(skb, SKB_MAC_HEADER);
    at -= SKF_LL_OFF;
  } else if (at < 0) {
    base = load<u32>(skb, SKB_NETWORK_HEADER);
    at -= SKF_NET_OFF;
  }
  const size: u32 = load<u16>(pc, INSN_DST);
  if (base == 0 || <u64>base + at + size > load<u32>(skb, SKB_TAIL)) return false;
  const p = base + at;
  store<u64>(state, size == 1 ? load<u8>(p) : size == 2 ? bswap<u16>(load<u16>(p)) : bswap<u32>(load<u32>(p)));
  return true;
}

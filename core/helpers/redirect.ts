// Redirects to a device: the target is recorded for whoever ran the program (net/core/filter.c).
import { REDIRECT_FLAGS, REDIRECT_INDEX, REDIRECT_MAP, REDIRECT_SET } from "../../src/helpers/net-layout";
import { CPU_PROG_TYPE } from "../../src/vm/layout";
import { cpu } from "../env";
import { readable } from "./access";

const BPF_PROG_TYPE_XDP = 6;
const TC_ACT_SHOT = 2;
const TC_ACT_REDIRECT = 7;
const XDP_ABORTED = 0;
const XDP_REDIRECT = 4;
const BPF_F_INGRESS: u64 = 1;
const BPF_F_NEIGH: u32 = 1 << 16;
const BPF_F_PEER: u32 = 1 << 17;
const BPF_F_NEXTHOP: u32 = 1 << 18;
/** sizeof(struct bpf_redir_neigh) */
const REDIR_NEIGH_SIZE: i32 = 20;

export function redirectTo(index: u32, flags: u32, map: u32): void {
  store<u32>(cpu, index, REDIRECT_INDEX);
  store<u32>(cpu, flags, REDIRECT_FLAGS);
  store<u32>(cpu, map, REDIRECT_MAP);
  store<u32>(cpu, 1, REDIRECT_SET);
}

export function bpf_redirect(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  if (load<u32>(cpu + CPU_PROG_TYPE) == BPF_PROG_TYPE_XDP) {
    if (r2 != 0) return XDP_ABORTED;
    redirectTo(<u32>r1, 0, 0);
    return XDP_REDIRECT;
  }
  if (r2 & ~BPF_F_INGRESS) return TC_ACT_SHOT;
  redirectTo(<u32>r1, <u32>r2, 0);
  return TC_ACT_REDIRECT;
}

export function bpf_redirect_peer(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  if (r2 != 0) return TC_ACT_SHOT;
  redirectTo(<u32>r1, BPF_F_PEER, 0);
  return TC_ACT_REDIRECT;
}

export function bpf_redirect_neigh(r1: u64, r2: u64, r3: u64, r4: u64, r5: u64): u64 {
  const length = <i32>r3;
  if ((length != 0 && length < REDIR_NEIGH_SIZE) || r4 != 0) return TC_ACT_SHOT;
  if (length != 0) readable(r2, length);
  redirectTo(<u32>r1, BPF_F_NEIGH | (length != 0 ? BPF_F_NEXTHOP : 0), 0);
  return TC_ACT_REDIRECT;
}

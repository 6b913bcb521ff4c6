/** Alignment of loads and stores: check_ptr_alignment(). */
import { EACCES } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { varOffText } from "../log/text.ts";
import { TnumValue, tnumAdd, tnumConst, tnumIsAligned } from "../numbers/tnum.ts";
import type { RegState } from "../state/reg.ts";
import {
  PTR_TO_ARENA,
  PTR_TO_CTX,
  PTR_TO_FLOW_KEYS,
  PTR_TO_MAP_KEY,
  PTR_TO_MAP_VALUE,
  PTR_TO_PACKET,
  PTR_TO_PACKET_META,
  PTR_TO_SOCK_COMMON,
  PTR_TO_SOCKET,
  PTR_TO_STACK,
  PTR_TO_TCP_SOCK,
  PTR_TO_XDP_SOCK,
} from "../state/reg-type.ts";

/** Packets start two bytes after an aligned address, on machines where that matters (NET_IP_ALIGN). */
const IP_ALIGN = 2;

const NAMES: ReadonlyMap<number, string> = new Map([
  [PTR_TO_FLOW_KEYS, "flow keys "],
  [PTR_TO_MAP_KEY, "key "],
  [PTR_TO_MAP_VALUE, "value "],
  [PTR_TO_CTX, "context "],
  [PTR_TO_STACK, "stack "],
  [PTR_TO_SOCKET, "sock "],
  [PTR_TO_SOCK_COMMON, "sock_common "],
  [PTR_TO_TCP_SOCK, "tcp_sock "],
  [PTR_TO_XDP_SOCK, "xdp_sock "],
]);

const sum = new TnumValue();
const fixed = new TnumValue();

function aligned(reg: RegState, off: number, size: number): boolean {
  tnumConst(fixed, off | 0, off < 0 ? -1 : 0);
  tnumAdd(sum, reg, fixed);
  return tnumIsAligned(sum, size);
}

/** `strictOnce`: whatever the program asked for, this access must be aligned (atomics). The stack's always must. */
export function checkPtrAlignment(
  env: Env,
  reg: RegState,
  off: number,
  size: number,
  strictOnce: boolean,
): void {
  if (size === 1 || reg.type === PTR_TO_ARENA) return;
  if (!env.strictAlignment && !strictOnce && reg.type !== PTR_TO_STACK) return;
  if (reg.type === PTR_TO_PACKET || reg.type === PTR_TO_PACKET_META) {
    if (!aligned(reg, IP_ALIGN + reg.off + off, size))
      env.reject(
        EACCES,
        `misaligned packet access off ${IP_ALIGN}+${varOffText(reg)}+${reg.off}+${off} size ${size}`,
      );
    return;
  }
  if (!aligned(reg, reg.off + off, size))
    env.reject(
      EACCES,
      `misaligned ${NAMES.get(reg.type) ?? ""}access off ${varOffText(reg)}+${reg.off}+${off} size ${size}`,
    );
}

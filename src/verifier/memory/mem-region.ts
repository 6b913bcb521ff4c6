/** Accesses to memory of a known size at an offset that may vary: map keys and values, packets, buffers, sockets. */
import {
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY_PROG,
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_CGROUP_SOCKOPT,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_SEG6LOCAL,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SK_MSG,
  BPF_PROG_TYPE_SK_REUSEPORT,
  BPF_PROG_TYPE_SK_SKB,
  BPF_PROG_TYPE_XDP,
  EACCES,
  EINVAL,
} from "../../uapi/index.ts";
import { mapRecord } from "../btf/btf-record.ts";
import { BPF_KPTR, BPF_UPTR, fieldTypeName } from "../btf/field-types.ts";
import type { Env } from "../env.ts";
import { BPF_MAX_VAR_OFF } from "../limits.ts";
import { varOffText } from "../log/text.ts";
import { regTypeStr } from "../log/type-names.ts";
import { sminOf, umaxOf } from "../numbers/range.ts";
import { isConst, type RegState } from "../state/reg.ts";
import {
  MEM_RDONLY,
  PTR_TO_MAP_KEY,
  PTR_TO_MAP_VALUE,
  PTR_TO_PACKET,
  PTR_TO_PACKET_END,
  PTR_TO_PACKET_META,
} from "../state/reg-type.ts";
import { sockFieldAccess } from "./ctx-sock.ts";

/** __check_mem_access(): bytes `off` to `off + size` of `memSize`. False after writing the reason to the log. */
function inRegion(
  env: Env,
  regno: number,
  off: number,
  size: number,
  memSize: number,
  zeroSizeAllowed: boolean,
): boolean {
  const sizeOk = size > 0 || (size === 0 && zeroSizeAllowed);
  if (off >= 0 && sizeOk && off + size <= memSize) return true;
  const reg = env.reg(regno);
  switch (reg.type) {
    case PTR_TO_MAP_KEY:
      env.verbose(`invalid access to map key, key_size=${memSize} off=${off} size=${size}\n`);
      break;
    case PTR_TO_MAP_VALUE:
      env.verbose(`invalid access to map value, value_size=${memSize} off=${off} size=${size}\n`);
      break;
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
    case PTR_TO_PACKET_END:
      env.verbose(
        `invalid access to packet, off=${off} size=${size}, R${regno}(id=${reg.id},off=${off},r=${memSize})\n`,
      );
      break;
    default:
      env.verbose(`invalid access to memory, mem_size=${memSize >>> 0} off=${off} size=${size}\n`);
  }
  return false;
}

function negativeMin(env: Env, regno: number): never {
  return env.reject(
    EACCES,
    `R${regno} min value is negative, either use unsigned index or do a if (index >=0) check.`,
  );
}

/** The whole range of R`regno` + `off` stays inside `memSize` bytes. check_mem_region_access(). */
export function checkMemRegionAccess(
  env: Env,
  regno: number,
  off: number,
  size: number,
  memSize: number,
  zeroSizeAllowed: boolean,
): void {
  const reg = env.reg(regno);
  const smin = sminOf(reg);
  // The fixed offset may make up for a negative variable one, unless the sum does not fit s32.
  if (smin < 0 && (smin + off < 0 || smin + off !== ((smin + off) | 0))) negativeMin(env, regno);
  if (!inRegion(env, regno, s32(smin + off), size, memSize, zeroSizeAllowed))
    env.reject(EACCES, `R${regno} min value is outside of the allowed memory range`);
  const umax = umaxOf(reg);
  if (umax >= BPF_MAX_VAR_OFF)
    env.reject(EACCES, `R${regno} unbounded memory access, make sure to bounds check any such access`);
  if (!inRegion(env, regno, umax + off, size, memSize, zeroSizeAllowed))
    env.reject(EACCES, `R${regno} max value is outside of the allowed memory range`);
}

/** The kernel passes offsets as int. */
function s32(v: number): number {
  return Number(BigInt.asIntN(32, BigInt(v)));
}

/** BPF_F_RDONLY_PROG and _WRONLY_PROG of the map. check_map_access_type(). */
export function checkMapAccessType(env: Env, regno: number, off: number, size: number, write: boolean): void {
  const map = env.reg(regno).map!;
  if (write ? (map.flags & BPF_F_RDONLY_PROG) !== 0 : (map.flags & BPF_F_WRONLY_PROG) !== 0)
    env.reject(
      EACCES,
      `${write ? "write into" : "read from"} map forbidden, value_size=${map.valueSize} off=${off} size=${size}`,
    );
}

/** A map value, special fields excepted. `direct`: by a load or store, not by a helper. check_map_access(). */
export function checkMapAccess(
  env: Env,
  regno: number,
  off: number,
  size: number,
  zeroSizeAllowed: boolean,
  direct: boolean,
): void {
  const reg = env.reg(regno);
  const map = reg.map!;
  checkMemRegionAccess(env, regno, off, size, map.valueSize, zeroSizeAllowed);
  const record = mapRecord(env, map);
  if (record === null) return;
  const first = sminOf(reg) + off;
  const end = umaxOf(reg) + off + size;
  for (const field of record.fields) {
    const at = field.offset;
    // An access that ends where the field begins, or begins where it ends, is fine.
    if (first >= at + field.size || at >= end) continue;
    if ((field.type & BPF_KPTR) === 0)
      env.reject(EACCES, `${fieldTypeName(field.type)} cannot be accessed directly by load/store`);
    const what = field.type === BPF_UPTR ? fieldTypeName(field.type) : "kptr";
    if (!direct) env.reject(EACCES, `${what} cannot be accessed indirectly by helper`);
    if (!isConst(reg)) env.reject(EACCES, `${what} access cannot have variable offset`);
    const fixed = off + reg.valueLo;
    if (at !== fixed) env.reject(EACCES, `${what} access misaligned expected=${at} off=${fixed}`);
    if (size !== 8) env.reject(EACCES, `${what} access size must be BPF_DW`);
  }
}

/** Program types that read packets directly, and whether they write to them too. */
const PACKET_READERS: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_SEG6LOCAL,
  BPF_PROG_TYPE_SK_REUSEPORT,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_CGROUP_SKB,
]);
const PACKET_WRITERS: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_XDP,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_SK_SKB,
  BPF_PROG_TYPE_SK_MSG,
]);

/** Whether the program may touch the packet. `helperPktAccess`: a helper does, which says whether it may; null: a load or store. may_access_direct_pkt_data(). */
export function mayAccessPacket(env: Env, helperPktAccess: boolean | null, write: boolean): boolean {
  const type = env.resolvedProgType;
  if (type === BPF_PROG_TYPE_CGROUP_SOCKOPT) {
    if (write) env.seenDirectWrite = true;
    return true;
  }
  if (!PACKET_WRITERS.has(type) && (write || !PACKET_READERS.has(type))) return false;
  if (helperPktAccess !== null) return helperPktAccess;
  env.seenDirectWrite = true;
  return true;
}

/** check_packet_access(). */
export function checkPacketAccess(
  env: Env,
  regno: number,
  off: number,
  size: number,
  zeroSizeAllowed: boolean,
): void {
  const reg = env.reg(regno);
  if (sminOf(reg) < 0) negativeMin(env, regno);
  // The variable part is in the range already: find_good_pkt_pointers() saw it.
  const outside = reg.range < 0 || !inRegion(env, regno, off, size, reg.range, zeroSizeAllowed);
  if (outside) env.reject(reg.range < 0 ? EINVAL : EACCES, `R${regno} offset is outside of the packet`);
}

const SIZEOF_BPF_FLOW_KEYS = 56;

/** check_flow_keys_access(). */
export function checkFlowKeysAccess(env: Env, off: number, size: number): void {
  if (size < 0 || off < 0 || off + size > SIZEOF_BPF_FLOW_KEYS)
    env.reject(EACCES, `invalid access to flow keys off=${off} size=${size}`);
}

/** check_sock_access(). */
export function checkSockAccess(env: Env, regno: number, off: number, size: number): void {
  const reg = env.reg(regno);
  if (sminOf(reg) < 0) negativeMin(env, regno);
  if (!sockFieldAccess(reg.type, off, size))
    env.reject(EACCES, `R${regno} invalid ${regTypeStr(reg.type)} access off=${off} size=${size}`);
}

/** __check_buffer_access(). */
function checkFixedBuffer(
  env: Env,
  kind: string,
  reg: RegState,
  regno: number,
  off: number,
  size: number,
): void {
  if (off < 0) env.reject(EACCES, `R${regno} invalid ${kind} buffer access: off=${off}, size=${size}`);
  if (!isConst(reg) || (reg.valueLo | reg.valueHi) !== 0)
    env.reject(EACCES, `R${regno} invalid variable buffer offset: off=${off}, var_off=${varOffText(reg)}`);
}

/** check_tp_buffer_access(): how much is accessed is compared with the tracepoint's buffer when attaching. */
export function checkTpBufferAccess(env: Env, regno: number, off: number, size: number): void {
  checkFixedBuffer(env, "tracepoint", env.reg(regno), regno, off, size);
}

/** check_buffer_access(): likewise for iterators. */
export function checkBufferAccess(env: Env, regno: number, off: number, size: number): void {
  const reg = env.reg(regno);
  const kind = (reg.type & MEM_RDONLY) !== 0 ? "rdonly" : "rdwr";
  checkFixedBuffer(env, kind, reg, regno, off, size);
}

/** __check_ptr_off_reg(): the pointer was not moved, or by a fixed amount only. */
export function checkPtrOffReg(env: Env, reg: RegState, regno: number, fixedOffOk: boolean): void {
  if (reg.off < 0)
    env.reject(EACCES, `negative offset ${regTypeStr(reg.type)} ptr R${regno} off=${reg.off} disallowed`);
  if (!fixedOffOk && reg.off !== 0)
    env.reject(
      EACCES,
      `dereference of modified ${regTypeStr(reg.type)} ptr R${regno} off=${reg.off} disallowed`,
    );
  if (!isConst(reg) || (reg.valueLo | reg.valueHi) !== 0)
    env.reject(EACCES, `variable ${regTypeStr(reg.type)} access var_off=${varOffText(reg)} disallowed`);
}

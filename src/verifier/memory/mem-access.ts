/** One load or store through a pointer of any kind: check_mem_access(). */
import { BPF_F_RDONLY_PROG, BPF_MAP_TYPE_ARRAY, EACCES } from "../../uapi/index.ts";
import { findField, mapRecord } from "../btf/btf-record.ts";
import { checkPtrToBtfAccess, checkPtrToMapAccess } from "../btf/btf-walk.ts";
import { BPF_KPTR } from "../btf/field-types.ts";
import type { Env } from "../env.ts";
import { DEF_NOT_SUBREG } from "../limits.ts";
import { regTypeStr } from "../log/type-names.ts";
import type { MapDescription } from "../map-description.ts";
import { isConst } from "../state/reg.ts";
import {
  coerceToSize,
  coerceToSizeSx,
  markKnown,
  markRegKnownZero,
  markRegUnknown,
  markS32Range,
} from "../state/reg-ops.ts";
import {
  baseType,
  CONST_PTR_TO_MAP,
  MEM_RDONLY,
  mayBeNull,
  PTR_TO_ARENA,
  PTR_TO_BTF_ID,
  PTR_TO_BUF,
  PTR_TO_CTX,
  PTR_TO_FLOW_KEYS,
  PTR_TO_MAP_KEY,
  PTR_TO_MAP_VALUE,
  PTR_TO_MEM,
  PTR_TO_PACKET,
  PTR_TO_PACKET_META,
  PTR_TO_SOCK_COMMON,
  PTR_TO_SOCKET,
  PTR_TO_STACK,
  PTR_TO_TCP_SOCK,
  PTR_TO_TP_BUFFER,
  PTR_TO_XDP_SOCK,
  PTR_UNTRUSTED,
  SCALAR_VALUE,
} from "../state/reg-type.ts";
import { checkPtrAlignment } from "./alignment.ts";
import { checkCtxAccess } from "./ctx-access.ts";
import { checkMapKptrAccess } from "./kptr-access.ts";
import {
  checkBufferAccess,
  checkFlowKeysAccess,
  checkMapAccess,
  checkMapAccessType,
  checkMemRegionAccess,
  checkPacketAccess,
  checkPtrOffReg,
  checkSockAccess,
  checkTpBufferAccess,
  mayAccessPacket,
} from "./mem-region.ts";
import { checkStackRead, checkStackWrite } from "./stack.ts";
import { checkStackAccessWithinBounds } from "./stack-range.ts";

/** is_pointer_value(): storing it where others can read it would tell a kernel address. */
export function isPointerValue(env: Env, regno: number): boolean {
  return !env.allowPtrLeaks && env.reg(regno).type !== SCALAR_VALUE;
}

/** Bytes of a BPF_SIZE field. */
export function sizeBytes(op: number): number {
  switch (op & 0x18) {
    case 0x00:
      return 4;
    case 0x08:
      return 2;
    case 0x10:
      return 1;
    default:
      return 8;
  }
}

/** A map whose contents cannot change any more, and are known here. bpf_map_is_rdonly(), map_direct_value_addr. */
function constantContents(map: MapDescription): Uint8Array | null {
  if (!map.frozen || (map.flags & BPF_F_RDONLY_PROG) === 0) return null;
  return map.type === BPF_MAP_TYPE_ARRAY && map.maxEntries === 1 ? map.contents : null;
}

function loadConstant(
  env: Env,
  bytes: Uint8Array,
  off: number,
  size: number,
  signed: boolean,
  dst: number,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const reg = markRegKnownZero(env.frame, dst);
  reg.type = SCALAR_VALUE;
  let lo: number;
  let hi: number;
  switch (size) {
    case 1:
      lo = signed ? view.getInt8(off) : view.getUint8(off);
      hi = lo >> 31;
      break;
    case 2:
      lo = signed ? view.getInt16(off, true) : view.getUint16(off, true);
      hi = lo >> 31;
      break;
    case 4:
      lo = view.getInt32(off, true);
      hi = signed ? lo >> 31 : 0;
      break;
    default:
      lo = view.getInt32(off, true);
      hi = view.getInt32(off + 4, true);
  }
  markKnown(reg, lo, hi);
}

function accessMapValue(
  env: Env,
  insnIdx: number,
  regno: number,
  off: number,
  size: number,
  write: boolean,
  valueReg: number,
  signed: boolean,
): void {
  if (write && valueReg >= 0 && isPointerValue(env, valueReg))
    env.reject(EACCES, `R${valueReg} leaks addr into map`);
  checkMapAccessType(env, regno, off, size, write);
  checkMapAccess(env, regno, off, size, false, true);
  const reg = env.reg(regno);
  const map = reg.map!;
  if (isConst(reg)) {
    const field = findField(mapRecord(env, map), off + reg.valueLo, BPF_KPTR);
    if (field !== null) {
      checkMapKptrAccess(env, valueReg, insnIdx, field);
      return;
    }
  }
  if (write || valueReg < 0) return;
  const contents = isConst(reg) ? constantContents(map) : null;
  if (contents !== null) loadConstant(env, contents, off + reg.valueLo, size, signed, valueReg);
  else markRegUnknown(env, env.frame, valueReg);
}

function accessMem(
  env: Env,
  regno: number,
  off: number,
  size: number,
  write: boolean,
  valueReg: number,
): void {
  const reg = env.reg(regno);
  const readOnly = (reg.type & MEM_RDONLY) !== 0;
  const untrusted = readOnly && (reg.type & PTR_UNTRUSTED) !== 0;
  if (mayBeNull(reg.type)) invalidMemAccess(env, regno);
  if (write && readOnly) env.reject(EACCES, `R${regno} cannot write into ${regTypeStr(reg.type)}`);
  if (write && valueReg >= 0 && isPointerValue(env, valueReg))
    env.reject(EACCES, `R${valueReg} leaks addr into mem`);
  // A load through an untrusted pointer may fault, which is caught: its bounds do not matter.
  if (!untrusted) checkMemRegionAccess(env, regno, off, size, reg.memSize, false);
  if (valueReg >= 0 && (!write || readOnly)) markRegUnknown(env, env.frame, valueReg);
}

function accessCtx(
  env: Env,
  insnIdx: number,
  regno: number,
  off: number,
  size: number,
  write: boolean,
  valueReg: number,
  signed: boolean,
): void {
  if (write && valueReg >= 0 && isPointerValue(env, valueReg))
    env.reject(EACCES, `R${valueReg} leaks addr into ctx`);
  checkPtrOffReg(env, env.reg(regno), regno, false);
  const info = checkCtxAccess(env, insnIdx, off, size, write, signed);
  if (write || valueReg < 0) return;
  if (info.regType === SCALAR_VALUE) {
    const reg = markRegUnknown(env, env.frame, valueReg);
    if (info.retval !== null) markS32Range(env, reg, info.retval.min, info.retval.max);
    return;
  }
  const reg = markRegKnownZero(env.frame, valueReg);
  if (mayBeNull(info.regType)) reg.id = env.newId();
  reg.subregDef = DEF_NOT_SUBREG;
  if (baseType(info.regType) === PTR_TO_BTF_ID) {
    reg.btf = info.btf;
    reg.btfId = info.btfId;
    reg.refObjId = info.refObjId;
  }
  reg.type = info.regType;
}

function invalidMemAccess(env: Env, regno: number): never {
  return env.reject(EACCES, `R${regno} invalid mem access '${regTypeStr(env.reg(regno).type)}'`);
}

/**
 * An access of `size` bytes through R`regno` + `off`. `valueReg`: the register stored or loaded, -1: none (an immediate,
 * an atomic). `strictOnce`: must be aligned. `signed`: a sign-extending load.
 */
export function checkMemAccess(
  env: Env,
  insnIdx: number,
  regno: number,
  insnOff: number,
  size: number,
  write: boolean,
  valueReg: number,
  strictOnce: boolean,
  signed: boolean,
): void {
  const reg = env.reg(regno);
  const { type } = reg;
  checkPtrAlignment(env, reg, insnOff, size, strictOnce);
  const off = insnOff + reg.off;
  const base = baseType(type);
  const load = !write && valueReg >= 0;

  if (type === PTR_TO_STACK) {
    checkStackAccessWithinBounds(env, regno, off, size, true, write);
    if (write) checkStackWrite(env, regno, off, size, valueReg, insnIdx);
    else checkStackRead(env, regno, off, size, valueReg);
  } else if (type === PTR_TO_MAP_VALUE) {
    accessMapValue(env, insnIdx, regno, off, size, write, valueReg, signed);
  } else if (type === PTR_TO_MAP_KEY) {
    if (write) env.reject(EACCES, `write to change key R${regno} not allowed`);
    checkMemRegionAccess(env, regno, off, size, reg.map!.keySize, false);
    if (valueReg >= 0) markRegUnknown(env, env.frame, valueReg);
  } else if (base === PTR_TO_MEM) {
    accessMem(env, regno, off, size, write, valueReg);
  } else if (type === PTR_TO_CTX) {
    accessCtx(env, insnIdx, regno, off, size, write, valueReg, signed);
  } else if (type === PTR_TO_PACKET || type === PTR_TO_PACKET_META) {
    if (write && !mayAccessPacket(env, null, true)) env.reject(EACCES, "cannot write into packet");
    if (write && valueReg >= 0 && isPointerValue(env, valueReg))
      env.reject(EACCES, `R${valueReg} leaks addr into packet`);
    checkPacketAccess(env, regno, off, size, false);
    if (load) markRegUnknown(env, env.frame, valueReg);
  } else if (type === PTR_TO_FLOW_KEYS) {
    if (write && valueReg >= 0 && isPointerValue(env, valueReg))
      env.reject(EACCES, `R${valueReg} leaks addr into flow keys`);
    checkFlowKeysAccess(env, off, size);
    if (load) markRegUnknown(env, env.frame, valueReg);
  } else if (
    type === PTR_TO_SOCKET ||
    type === PTR_TO_SOCK_COMMON ||
    type === PTR_TO_TCP_SOCK ||
    type === PTR_TO_XDP_SOCK
  ) {
    if (write) env.reject(EACCES, `R${regno} cannot write into ${regTypeStr(type)}`);
    checkSockAccess(env, regno, off, size);
    if (valueReg >= 0) markRegUnknown(env, env.frame, valueReg);
  } else if (type === PTR_TO_TP_BUFFER) {
    checkTpBufferAccess(env, regno, off, size);
    if (load) markRegUnknown(env, env.frame, valueReg);
  } else if (base === PTR_TO_BTF_ID && !mayBeNull(type)) {
    checkPtrToBtfAccess(env, regno, off, size, write, valueReg);
  } else if (type === CONST_PTR_TO_MAP) {
    checkPtrToMapAccess(env, regno, off, size, write, valueReg);
  } else if (base === PTR_TO_BUF && !mayBeNull(type)) {
    const readOnly = (type & MEM_RDONLY) !== 0;
    if (readOnly && write) env.reject(EACCES, `R${regno} cannot write into ${regTypeStr(type)}`);
    checkBufferAccess(env, regno, off, size);
    if (valueReg >= 0 && (readOnly || !write)) markRegUnknown(env, env.frame, valueReg);
  } else if (type === PTR_TO_ARENA) {
    if (load) markRegUnknown(env, env.frame, valueReg);
  } else invalidMemAccess(env, regno);

  if (load && size < 8 && env.reg(valueReg).type === SCALAR_VALUE) {
    const loaded = env.frame.own(valueReg);
    if (signed) coerceToSizeSx(loaded, size);
    else coerceToSize(loaded, size);
  }
}

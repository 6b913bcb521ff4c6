/** LDX, ST, STX and atomics: check_load_mem(), check_store_reg(), check_atomic(). */
import {
  BPF_ADD,
  BPF_AND,
  BPF_CMPXCHG,
  BPF_FETCH,
  BPF_LOAD_ACQ,
  BPF_MEM,
  BPF_MEMSX,
  BPF_OR,
  BPF_STORE_REL,
  BPF_XCHG,
  BPF_XOR,
  EACCES,
  EINVAL,
} from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { regTypeStr } from "../log/type-names.ts";
import { checkMemAccess, isPointerValue, sizeBytes } from "../memory/mem-access.ts";
import { brokenInvariant } from "../numbers/bounds.ts";
import { checkDstReg, checkSrcReg } from "../state/reg-arg.ts";
import { boundsSanityCheck } from "../state/reg-ops.ts";
import {
  baseType,
  MEM_RDONLY,
  NOT_INIT,
  PTR_TO_ARENA,
  PTR_TO_BTF_ID,
  PTR_TO_CTX,
  PTR_TO_FLOW_KEYS,
  PTR_TO_MEM,
  PTR_TO_PACKET,
  PTR_TO_PACKET_META,
  PTR_TO_SOCK_COMMON,
  PTR_TO_SOCKET,
  PTR_TO_TCP_SOCK,
  PTR_TO_XDP_SOCK,
  PTR_UNTRUSTED,
} from "../state/reg-type.ts";

/** Pointers whose loads and stores are rewritten by kind, so that one instruction cannot serve two. reg_type_mismatch_ok(). */
const REWRITTEN: ReadonlySet<number> = new Set([
  PTR_TO_CTX,
  PTR_TO_SOCKET,
  PTR_TO_SOCK_COMMON,
  PTR_TO_TCP_SOCK,
  PTR_TO_XDP_SOCK,
  PTR_TO_BTF_ID,
  PTR_TO_ARENA,
]);

/** save_aux_ptr_type(): the instruction's pointer is of the same kind on all paths. */
export function saveAuxPtrType(env: Env, type: number, allowTrustMismatch: boolean): void {
  const aux = env.aux[env.insnIdx]!;
  const prev = aux.ptrType;
  if (prev === NOT_INIT) {
    aux.ptrType = type;
    return;
  }
  if (type === prev || !(REWRITTEN.has(baseType(type)) || REWRITTEN.has(baseType(prev)))) return;
  // BTF pointers of different trust can share a load: as the least trusted.
  const rule = env.profile.rules.has("untrusted-rdonly-mem");
  const loadable = (t: number): boolean =>
    baseType(t) === PTR_TO_BTF_ID || (rule && baseType(t) === PTR_TO_MEM);
  if (!allowTrustMismatch || !loadable(type) || !loadable(prev))
    env.reject(EINVAL, "same insn cannot be used with different pointers");
  if (rule && (baseType(type) === PTR_TO_MEM || baseType(prev) === PTR_TO_MEM)) {
    const memFlags = MEM_RDONLY | PTR_UNTRUSTED;
    const faulting = (t: number): boolean => baseType(t) === PTR_TO_BTF_ID || (t & memFlags) === memFlags;
    if (!faulting(type) || !faulting(prev))
      env.reject(EINVAL, "same insn cannot be used with different pointers");
    aux.ptrType = PTR_TO_MEM | memFlags;
    return;
  }
  aux.ptrType = PTR_TO_BTF_ID | PTR_UNTRUSTED;
}

function load(
  env: Env,
  i: number,
  strictOnce: boolean,
  signed: boolean,
  allowTrustMismatch: boolean,
  context: string,
): void {
  const src = env.slots.src[i]!;
  const dst = env.slots.dst[i]!;
  checkSrcReg(env, src);
  checkDstReg(env, dst, false);
  const srcType = env.reg(src).type;
  checkMemAccess(env, i, src, env.slots.off[i]!, sizeBytes(env.slots.op[i]!), false, dst, strictOnce, signed);
  saveAuxPtrType(env, srcType, allowTrustMismatch);
  // Owning the register would undo its sharing with the stack slot it came from.
  if (brokenInvariant(env.reg(dst)) !== null) boundsSanityCheck(env, env.frame.own(dst), context);
}

function store(env: Env, i: number, strictOnce: boolean): void {
  const src = env.slots.src[i]!;
  const dst = env.slots.dst[i]!;
  checkSrcReg(env, src);
  checkSrcReg(env, dst);
  const dstType = env.reg(dst).type;
  checkMemAccess(env, i, dst, env.slots.off[i]!, sizeBytes(env.slots.op[i]!), true, src, strictOnce, false);
  saveAuxPtrType(env, dstType, false);
}

export function checkLdx(env: Env, i: number): void {
  load(env, i, false, (env.slots.op[i]! & 0xe0) === BPF_MEMSX, true, "ldx");
}

export function checkStx(env: Env, i: number): void {
  if ((env.slots.op[i]! & 0xe0) !== BPF_MEM || env.slots.imm[i] !== 0)
    env.reject(EINVAL, "BPF_STX uses reserved fields");
  store(env, i, false);
}

export function checkSt(env: Env, i: number): void {
  const op = env.slots.op[i]!;
  const dst = env.slots.dst[i]!;
  if ((op & 0xe0) !== BPF_MEM || env.slots.src[i] !== 0) env.reject(EINVAL, "BPF_ST uses reserved fields");
  checkSrcReg(env, dst);
  const dstType = env.reg(dst).type;
  checkMemAccess(env, i, dst, env.slots.off[i]!, sizeBytes(op), true, -1, false, false);
  saveAuxPtrType(env, dstType, false);
}

const NO_ATOMICS: ReadonlySet<number> = new Set([
  PTR_TO_CTX,
  PTR_TO_PACKET,
  PTR_TO_PACKET_META,
  PTR_TO_FLOW_KEYS,
  PTR_TO_SOCKET,
  PTR_TO_SOCK_COMMON,
  PTR_TO_TCP_SOCK,
  PTR_TO_XDP_SOCK,
]);

/** atomic_ptr_type_ok(). */
function requireAtomicPtr(env: Env, r: number, what: string): void {
  const { type } = env.reg(r);
  if (NO_ATOMICS.has(type)) env.reject(EACCES, `BPF_ATOMIC ${what} R${r} ${regTypeStr(type)} is not allowed`);
}

/** Read, modify, write. check_atomic_rmw(). */
function checkAtomicRmw(env: Env, i: number): void {
  const { op, dst, src, off, imm } = env.slots;
  const size = sizeBytes(op[i]!);
  const d = dst[i]!;
  const s = src[i]!;
  if (size !== 4 && size !== 8) env.reject(EINVAL, "invalid atomic operand size");
  checkSrcReg(env, s);
  checkSrcReg(env, d);
  if (imm[i] === BPF_CMPXCHG) {
    // R0 is compared with memory, and takes its old contents.
    checkSrcReg(env, 0);
    if (isPointerValue(env, 0)) env.reject(EACCES, "R0 leaks addr into mem");
  }
  if (isPointerValue(env, s)) env.reject(EACCES, `R${s} leaks addr into mem`);
  requireAtomicPtr(env, d, "stores into");

  let loadReg = -1;
  if ((imm[i]! & BPF_FETCH) !== 0) {
    loadReg = imm[i] === BPF_CMPXCHG ? 0 : s;
    checkDstReg(env, loadReg, true);
  }
  // First the read, without a register: it must be readable even where the value is dropped.
  checkMemAccess(env, i, d, off[i]!, size, false, -1, true, false);
  if (loadReg >= 0) checkMemAccess(env, i, d, off[i]!, size, false, loadReg, true, false);
  saveAuxPtrType(env, env.reg(d).type, false);
  checkMemAccess(env, i, d, off[i]!, size, true, -1, true, false);
}

export function checkAtomic(env: Env, i: number): void {
  const { dst, src, imm } = env.slots;
  switch (imm[i]) {
    case BPF_ADD:
    case BPF_ADD | BPF_FETCH:
    case BPF_AND:
    case BPF_AND | BPF_FETCH:
    case BPF_OR:
    case BPF_OR | BPF_FETCH:
    case BPF_XOR:
    case BPF_XOR | BPF_FETCH:
    case BPF_XCHG:
    case BPF_CMPXCHG:
      checkAtomicRmw(env, i);
      return;
    case BPF_LOAD_ACQ:
      if (!env.profile.rules.has("load-acquire-store-release")) break;
      checkSrcReg(env, src[i]!);
      requireAtomicPtr(env, src[i]!, "loads from");
      load(env, i, true, false, false, "atomic_load");
      return;
    case BPF_STORE_REL:
      if (!env.profile.rules.has("load-acquire-store-release")) break;
      checkSrcReg(env, dst[i]!);
      requireAtomicPtr(env, dst[i]!, "stores into");
      store(env, i, true);
      return;
    default:
  }
  env.reject(
    EINVAL,
    `BPF_ATOMIC uses invalid atomic opcode ${(imm[i]! >>> 0).toString(16).padStart(2, "0")}`,
  );
}

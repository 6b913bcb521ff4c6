/** Where functions begin and end: add_subprog_and_kfunc(), check_subprogs(), find_containing_subprog(). */
import { BTF_FUNC_GLOBAL, BTF_KIND_FUNC, BTF_KIND_FUNC_PROTO } from "../../btf/index.ts";
import {
  BPF_ABS,
  BPF_CALL,
  BPF_EXIT,
  BPF_F_XDP_DEV_BOUND_ONLY,
  BPF_FUNC_tail_call,
  BPF_IND,
  BPF_JA,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  E2BIG,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOTSUPP,
  EPERM,
} from "../../uapi/index.ts";
import { tagValues } from "../btf/btf-record.ts";
import type { Env, Subprog } from "../env.ts";
import { isKfuncCall, isPseudoCall, isPseudoFunc, kfuncBtf } from "../insns/insn-kind.ts";
import { BPF_MAX_SUBPROGS, MAX_KFUNC_DESCS } from "../limits.ts";

/** The function that slot `i` lies in; a binary search. find_containing_subprog(). */
export function subprogAt(env: Env, i: number): number {
  const { subprogs } = env;
  let low = 0;
  let high = subprogs.length - 1;
  while (low < high) {
    const mid = (low + high + 1) >> 1;
    if (subprogs[mid]!.start <= i) low = mid;
    else high = mid - 1;
  }
  return low;
}

/** The function that begins at slot `i`, or -1. find_subprog(). */
export function findSubprog(env: Env, i: number): number {
  if (env.subprogs.length === 0) return -1;
  const n = subprogAt(env, i);
  return env.subprogs[n]!.start === i ? n : -1;
}

function newSubprog(start: number): Subprog {
  return {
    start,
    end: start,
    name: "",
    stackDepth: 0,
    isGlobal: false,
    isAsyncCb: false,
    isExceptionCb: false,
    isCb: false,
    called: false,
    hasTailCall: false,
    tailCallReachable: false,
    hasLdAbs: false,
    mightSleep: false,
    mightThrow: false,
    changesPktData: false,
    argCount: -1,
    args: [],
    btfTypeId: 0,
    linkage: 0,
    unreliable: false,
    verified: false,
    fastcallStackOff: 0,
    keepFastcallStack: false,
    privStackMode: 0,
  };
}

/** add_subprog(): the functions are kept in order. */
function addSubprog(env: Env, start: number): void {
  if (start >= env.slots.count || start < 0) env.reject(EINVAL, "call to invalid destination");
  if (findSubprog(env, start) >= 0) return;
  if (env.subprogs.length >= BPF_MAX_SUBPROGS) env.reject(E2BIG, "too many subprograms");
  env.subprogs.push(newSubprog(start));
  env.subprogs.sort((a, b) => a.start - b.start);
}

/** Kfuncs that a network driver implements: XDP_METADATA_KFUNC_xxx. */
const METADATA_KFUNCS: ReadonlySet<string> = new Set([
  "bpf_xdp_metadata_rx_timestamp",
  "bpf_xdp_metadata_rx_hash",
  "bpf_xdp_metadata_rx_vlan_tag",
]);

/** add_kfunc_call(): what can be said of a kfunc call before anything is known of its arguments. */
function addKfuncCall(env: Env, i: number, seen: Set<number>): void {
  if (env.kernelBtf === null)
    env.reject(ENOTSUPP, "calling kernel function is not supported without CONFIG_DEBUG_INFO_BTF");
  if (!env.gplCompatible) env.reject(EINVAL, "cannot call kernel function from non-GPL compatible program");
  const id = env.slots.imm[i]!;
  const off = env.slots.off[i]!;
  // Dead calls of absent (weak) functions look like this; a live one is rejected when it is reached.
  if (id === 0 && off === 0) return;
  if (off < 0) {
    env.verbose("negative offset disallowed for kernel module function call\n");
    env.reject(EINVAL, "failed to find BTF for kernel function");
  }
  const btf = kfuncBtf(env, i);
  if (btf === null) env.reject(EINVAL, "failed to find BTF for kernel function");
  const key = id * 0x10000 + off;
  if (seen.has(key)) return;
  if (seen.size === MAX_KFUNC_DESCS) env.reject(E2BIG, "too many different kernel function calls");
  if (id <= 0 || id >= btf.typeCount || btf.kind(id) !== BTF_KIND_FUNC)
    env.reject(EINVAL, `kernel btf_id ${id >>> 0} is not a function`);
  if (btf.kind(btf.sizeOrType(id)) !== BTF_KIND_FUNC_PROTO)
    env.reject(EINVAL, `kernel function btf_id ${id >>> 0} does not have a valid func_proto`);
  // bpf_dev_bound_kfunc_check(): the driver fills them in.
  if (METADATA_KFUNCS.has(btf.typeName(id)) && (env.input.progFlags & BPF_F_XDP_DEV_BOUND_ONLY) === 0)
    env.reject(EINVAL, "metadata kfuncs require device-bound program");
  seen.add(key);
}

/** The exception callback that the main function's decl tag names, or 0. bpf_find_exception_callback_insn_off(). */
function exceptionCallback(env: Env): number {
  const { btf, funcInfo } = env.input;
  if (btf === null || funcInfo.length === 0) return 0;
  const names = tagValues(btf, funcInfo[0]!.typeId, -1, "exception_callback:");
  if (names.length === 0) return 0;
  if (names.length > 1) env.reject(EEXIST, "multiple exception callback tags for main subprog");
  const name = names[0]!;
  const id = btf.findByName(name, BTF_KIND_FUNC);
  if (id === undefined) env.reject(ENOENT, `exception callback '${name}' could not be found in BTF`);
  if (btf.vlen(id) !== BTF_FUNC_GLOBAL)
    env.reject(EINVAL, `exception callback '${name}' must have global linkage`);
  let start = -1;
  for (const info of funcInfo) if (info.typeId === id) start = info.insn;
  if (start === 0) env.reject(EINVAL, "invalid exception callback insn_off in func_info: 0");
  if (start < 0) env.reject(EINVAL, "exception callback type id not found in func_info");
  return start;
}

export function addSubprogsAndKfuncs(env: Env): void {
  const { slots } = env;
  const kfuncs = new Set<number>();
  addSubprog(env, 0);
  for (let i = 0; i < slots.count; i++) {
    const func = isPseudoFunc(slots, i) || isPseudoCall(slots, i);
    if (!func && !isKfuncCall(slots, i)) continue;
    if (!env.bpfCapable)
      env.reject(
        EPERM,
        "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN",
      );
    if (func) addSubprog(env, i + slots.imm[i]! + 1);
    else addKfuncCall(env, i, kfuncs);
  }
  const handler = exceptionCallback(env);
  if (handler !== 0) {
    addSubprog(env, handler);
    env.exceptionCallbackSubprog = findSubprog(env, handler);
    env.subprogs[env.exceptionCallbackSubprog]!.isExceptionCb = true;
    env.subprogs[env.exceptionCallbackSubprog]!.isCb = true;
    env.subprogs[env.exceptionCallbackSubprog]!.isAsyncCb = true;
  }
  for (let s = 0; s < env.subprogs.length; s++)
    env.subprogs[s]!.end = env.subprogs[s + 1]?.start ?? slots.count;
  if ((env.log.level & 2) !== 0)
    for (let s = 0; s < env.subprogs.length; s++) env.verbose(`func#${s} @${env.subprogs[s]!.start}\n`);
}

/** Jumps stay in their function, and no function falls off its end. */
export function checkSubprogs(env: Env): void {
  const { op, src, imm, off, count } = env.slots;
  let s = 0;
  let subprog = env.subprogs[0]!;
  for (let i = 0; i < count; i++) {
    const code = op[i]!;
    const cls = code & 7;
    const kind = code & 0xf0;
    if (code === (BPF_JMP | BPF_CALL) && src[i] === 0 && imm[i] === BPF_FUNC_tail_call) {
      subprog.hasTailCall = true;
      subprog.tailCallReachable = true;
    }
    if (cls === BPF_LD && ((code & 0xe0) === BPF_ABS || (code & 0xe0) === BPF_IND)) subprog.hasLdAbs = true;
    if ((cls === BPF_JMP || cls === BPF_JMP32) && kind !== BPF_EXIT && kind !== BPF_CALL) {
      const target = i + 1 + (code === (BPF_JMP32 | BPF_JA) ? imm[i]! : off[i]!);
      if (target < subprog.start || target >= subprog.end)
        env.reject(EINVAL, `jump out of range from insn ${i} to ${target}`);
    }
    if (i === subprog.end - 1) {
      if (code !== (BPF_JMP | BPF_EXIT) && code !== (BPF_JMP32 | BPF_JA) && code !== (BPF_JMP | BPF_JA))
        env.reject(EINVAL, "last insn is not an exit or jmp");
      s++;
      if (s < env.subprogs.length) subprog = env.subprogs[s]!;
    }
  }
}

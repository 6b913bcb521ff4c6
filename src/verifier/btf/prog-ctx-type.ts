/** The type that a program type's context has in C: struct bpf_ctx_convert in the kernel's BTF lists them all. */
import { BTF_KIND_FWD, BTF_KIND_TYPEDEF, type Btf } from "../../btf/index.ts";
import {
  BPF_MODIFY_RETURN,
  BPF_PROG_TYPE_EXT,
  BPF_PROG_TYPE_KPROBE,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_PERF_EVENT,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_TRACEPOINT,
  BPF_PROG_TYPE_TRACING,
  BPF_TRACE_FENTRY,
  BPF_TRACE_FEXIT,
  BPF_TRACE_ITER,
  BPF_TRACE_RAW_TP,
  bpf_prog_type_names,
  EINVAL,
} from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { findStruct, isInt, isModifier, isStruct, isStructOrUnion, isVoid, membersOf } from "./btf-types.ts";

/** Id of the context's type, "_prog" as programs see it, "_kern" as the kernel does; 0: not known. */
function contextType(env: Env, progType: number, side: "prog" | "kern"): number {
  const btf = env.kernelBtf;
  const table = findStruct(btf, "bpf_ctx_convert");
  if (btf === null || table === 0) return 0;
  const name = `${bpf_prog_type_names[progType]}_${side}`;
  return membersOf(btf, table).find((m) => m.name === name)?.type ?? 0;
}

/** Type of the kernel's context of that program type, 0: none. find_kern_ctx_type_id(). */
export function kernelContextTypeOf(env: Env, progType: number): number {
  return contextType(env, progType, "kern");
}

/** Programs see `name` as `ctxName`: btf_is_projection_of(). */
export function isProjectionOf(ctxName: string, name: string): boolean {
  return (ctxName === "__sk_buff" && name === "sk_buff") || (ctxName === "xdp_md" && name === "xdp_buff");
}

function isUserPtRegs(btf: Btf, pointee: number): boolean {
  let at = pointee;
  while (isModifier(btf, at) && btf.kind(at) !== BTF_KIND_TYPEDEF) at = btf.sizeOrType(at);
  return btf.kind(at) === BTF_KIND_TYPEDEF && btf.typeName(at) === "bpf_user_pt_regs_t";
}

/** Is the pointer type `ptr` one to the context of `progType`? btf_is_prog_ctx_type(). */
export function isProgCtxType(env: Env, btf: Btf, ptr: number, progType: number): boolean {
  const pointee = btf.sizeOrType(ptr);
  if (progType === BPF_PROG_TYPE_KPROBE && isUserPtRegs(btf, pointee)) return true;
  const id = btf.skipModifiers(pointee);
  if (!isStructOrUnion(btf, id)) return false;
  const name = btf.typeName(id);
  const kernel = env.kernelBtf;
  let ctx = contextType(env, progType, "prog");
  if (kernel === null || ctx === 0) return false;
  for (;;) {
    const ctxName = kernel.typeName(ctx);
    // Types without a named context want the tag.
    if (ctxName === "") return false;
    if (ctxName === name || isProjectionOf(ctxName, name)) return true;
    if (!isModifier(kernel, ctx)) return false;
    ctx = kernel.skipModifiers(ctx);
  }
}

/** An argument tagged `ctx` must look like the context. btf_validate_prog_ctx_type(); rejects. */
export function validateProgCtxType(
  env: Env,
  btf: Btf,
  ptr: number,
  arg: number,
  progType: number,
  attachType: number,
): void {
  const pointee = btf.sizeOrType(ptr);
  const regs = progType === BPF_PROG_TYPE_KPROBE || progType === BPF_PROG_TYPE_PERF_EVENT;
  if (regs && isUserPtRegs(btf, pointee)) return;
  const id = btf.skipModifiers(pointee);
  if (isVoid(id)) return;
  const name = btf.typeName(id);
  if (name === "") env.reject(EINVAL, `arg#${arg} type doesn't have a name`);
  const struct = isStruct(btf, id);
  const u64 = isInt(btf, id) && btf.sizeOrType(id) === 8;
  switch (progType) {
    case BPF_PROG_TYPE_KPROBE:
    case BPF_PROG_TYPE_PERF_EVENT:
      if (struct && name === "pt_regs") return;
      break;
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
    case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
    case BPF_PROG_TYPE_LSM:
    case BPF_PROG_TYPE_STRUCT_OPS:
      if (u64) return;
      break;
    case BPF_PROG_TYPE_TRACING:
      if (attachType === BPF_TRACE_RAW_TP && ((struct && name === "bpf_raw_tracepoint_args") || u64)) return;
      if (attachType === BPF_TRACE_ITER && struct && name.startsWith("bpf_iter__")) return;
      if (
        (attachType === BPF_TRACE_FENTRY ||
          attachType === BPF_TRACE_FEXIT ||
          attachType === BPF_MODIFY_RETURN) &&
        u64
      )
        return;
      break;
    case BPF_PROG_TYPE_TRACEPOINT:
    case BPF_PROG_TYPE_SYSCALL:
    case BPF_PROG_TYPE_EXT:
      return;
  }
  const kernel = env.kernelBtf;
  const found = contextType(env, progType, "prog");
  if (kernel === null || found === 0) return env.reject(EINVAL, "btf_vmlinux is malformed");
  const ctx = kernel.skipModifiers(found);
  if (!isStruct(kernel, ctx)) env.reject(EINVAL, `arg#${arg} should be void pointer`);
  const ctxName = kernel.typeName(ctx);
  if (!struct || ctxName !== name) env.reject(EINVAL, `arg#${arg} should be \`struct ${ctxName} *\``);
}

/** Is it `struct bpf_dynptr *`, if only declared? btf_is_dynptr_ptr(). */
export function isDynptrPtr(btf: Btf, ptr: number): boolean {
  const id = btf.skipModifiers(btf.sizeOrType(ptr));
  const fwd = btf.kind(id) === BTF_KIND_FWD && !btf.kindFlag(id);
  return (isStructOrUnion(btf, id) || fwd) && btf.typeName(id) === "bpf_dynptr";
}

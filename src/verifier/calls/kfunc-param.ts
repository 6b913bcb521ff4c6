/**
 * What a pointer parameter of a kfunc wants, from its type, the suffix of its name, and the register:
 * get_kfunc_ptr_arg_type().
 */
import { EINVAL } from "../../uapi/index.ts";
import {
  findStruct,
  isPtr,
  isScalar,
  isStructOrUnion,
  isVoid,
  kindName,
  paramsOf,
  resolveFuncPtr,
  sameType,
} from "../btf/btf-types.ts";
import { isProgCtxType } from "../btf/prog-ctx-type.ts";
import type { Env } from "../env.ts";
import { isNullScalar, type RegState } from "../state/reg.ts";
import { reg2btfId } from "../state/reg-kind.ts";
import { baseType, PTR_TO_BTF_ID, SCALAR_VALUE } from "../state/reg-type.ts";
import { isIterKfunc, type KfuncMeta } from "./kfunc-meta.ts";
import { isScalarStruct } from "./kfunc-return.ts";

/** enum kfunc_ptr_arg_type. */
export type KfuncArgKind =
  | "ctx"
  | "null"
  | "alloc"
  | "refcounted"
  | "dynptr"
  | "iter"
  | "list-head"
  | "list-node"
  | "rb-root"
  | "rb-node"
  | "const-str"
  | "map"
  | "workqueue"
  | "task-work"
  | "irq-flag"
  | "res-spin-lock"
  | "btf-id"
  | "callback"
  | "mem"
  | "mem-size";

/** Parameters that are known by the struct they point at. */
const BY_STRUCT: readonly (readonly [string, KfuncArgKind])[] = [
  ["bpf_list_head", "list-head"],
  ["bpf_list_node", "list-node"],
  ["bpf_rb_root", "rb-root"],
  ["bpf_rb_node", "rb-node"],
  ["bpf_wq", "workqueue"],
  ["bpf_task_work", "task-work"],
  ["bpf_res_spin_lock", "res-spin-lock"],
];

/** A parameter, taken apart once. */
export interface KfuncParam {
  readonly name: string;
  /** Behind typedefs and qualifiers. */
  readonly id: number;
  readonly isPtr: boolean;
  /** Pointers: what they point at, likewise. */
  readonly pointee: number;
}

export function kfuncParams(meta: KfuncMeta): readonly KfuncParam[] {
  const { btf } = meta;
  return paramsOf(btf, meta.proto).map((p) => {
    const id = btf.skipModifiers(p.type);
    const ptr = isPtr(btf, id);
    return { name: p.name, id, isPtr: ptr, pointee: ptr ? btf.skipModifiers(btf.sizeOrType(id)) : 0 };
  });
}

/** A number that says how large the memory of the parameter before it is: `__sz`, or constant, `__szk`. */
export function isSizeParam(
  meta: KfuncMeta,
  param: KfuncParam | undefined,
  reg: RegState | undefined,
): boolean {
  return (
    param !== undefined &&
    isScalar(meta.btf, param.id) &&
    reg?.type === SCALAR_VALUE &&
    (param.name.endsWith("__sz") || param.name.endsWith("__szk"))
  );
}

/** Also null will do. */
export function isOptional(param: KfuncParam): boolean {
  return param.name.endsWith("__opt");
}

export function kfuncArgKind(
  env: Env,
  meta: KfuncMeta,
  params: readonly KfuncParam[],
  i: number,
): KfuncArgKind {
  const { btf } = meta;
  const param = params[i]!;
  const reg = env.reg(i + 1);
  const suffix = (s: string): boolean => param.name.endsWith(s);
  const is = (struct: string): boolean =>
    param.pointee !== 0 && sameType(btf, param.pointee, env.kernelBtf, findStruct(env.kernelBtf, struct));
  if (meta.special?.takesContext === true) return "ctx";
  if (isProgCtxType(env, btf, param.id, env.resolvedProgType)) return "ctx";
  if (suffix("__nullable") && isNullScalar(reg)) return "null";
  if (suffix("__alloc")) return "alloc";
  if (suffix("__refcounted_kptr")) return "refcounted";
  if (is("bpf_dynptr")) return "dynptr";
  if (isIterKfunc(meta) ? i === 0 : suffix("__iter")) return "iter";
  for (const [struct, kind] of BY_STRUCT.slice(0, 4)) if (is(struct)) return kind;
  if (suffix("__str")) return "const-str";
  if (suffix("__map")) return "map";
  for (const [struct, kind] of BY_STRUCT.slice(4)) if (is(struct)) return kind;
  if (suffix("__irq_flag")) return "irq-flag";

  const base = baseType(reg.type);
  if (base === PTR_TO_BTF_ID || reg2btfId(env, base) !== 0) {
    if (!isStructOrUnion(btf, param.pointee))
      env.reject(
        EINVAL,
        `kernel function ${meta.name} args#${i} pointer type ${kindName(btf, param.pointee)} ${nameOf(meta, param.pointee)} is not supported`,
      );
    return "btf-id";
  }
  if (resolveFuncPtr(btf, param.id) >= 0) return "callback";
  const sized = isSizeParam(meta, params[i + 1], i + 2 <= 5 ? env.reg(i + 2) : undefined);
  if (
    !isScalar(btf, param.pointee) &&
    !isScalarStruct(env, btf, param.pointee, 0) &&
    !(sized && isVoid(param.pointee))
  )
    env.reject(
      EINVAL,
      `arg#${i} pointer type ${kindName(btf, param.pointee)} ${nameOf(meta, param.pointee)} must point to ${sized ? "void, " : ""}scalar, or struct with scalar`,
    );
  return sized ? "mem-size" : "mem";
}

export function nameOf(meta: KfuncMeta, id: number): string {
  return id === 0 ? "(anon)" : meta.btf.typeName(id);
}

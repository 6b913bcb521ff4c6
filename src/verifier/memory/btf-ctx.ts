/** Arguments of traced functions, LSM hooks, struct_ops members and iterators, as loads from the context: btf_ctx_access(). */
import { BTF_KIND_FUNC, BTF_KIND_STRUCT, BTF_KIND_TYPE_TAG, type Btf } from "../../btf/index.ts";
import {
  BPF_LSM_CGROUP,
  BPF_LSM_MAC,
  BPF_MODIFY_RETURN,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_TRACING,
  BPF_TRACE_FEXIT,
  BPF_TRACE_ITER,
  BPF_TRACE_RAW_TP,
} from "../../uapi/index.ts";
import {
  findId,
  findStruct,
  isInt,
  isPtr,
  isScalar,
  isStruct,
  isStructOrUnion,
  kindName,
  paramsOf,
} from "../btf/btf-types.ts";
import { isProgCtxType, kernelContextTypeOf } from "../btf/prog-ctx-type.ts";
import { RAW_TP_NULL_ARGS, UNTRUSTED_LSM_HOOKS } from "../btf/raw-tp-null.ts";
import { ITER_ARGS } from "../calls/iter-context.ts";
import type { Env } from "../env.ts";
import {
  baseType,
  MEM_PERCPU,
  MEM_USER,
  mayBeNull,
  PTR_MAYBE_NULL,
  PTR_TO_BTF_ID,
  PTR_TO_BUF,
  PTR_TRUSTED,
  SCALAR_VALUE,
} from "../state/reg-type.ts";
import type { CtxAccessInfo } from "./ctx-fields.ts";
import { structOpsName } from "./struct-write.ts";

const MAX_BPF_FUNC_REG_ARGS = 5;

/** A type in a context: a pointer takes 8 bytes, a struct as many words as it needs. */
function slotSize(btf: Btf, id: number): number {
  const at = btf.skipModifiers(id);
  if (at === 0) return 0;
  return isPtr(btf, at) ? 8 : (btf.sizeOrType(at) + 7) & ~7;
}

/** get_ctx_arg_idx(). */
function argIndex(btf: Btf, proto: number, off: number): number {
  if (proto === 0) return off >>> 3;
  const params = paramsOf(btf, proto);
  let end = 0;
  for (let i = 0; i < params.length; i++) {
    end += slotSize(btf, params[i]!.type);
    if (off < end) return i;
  }
  end += slotSize(btf, btf.sizeOrType(proto));
  return off < end ? params.length : params.length + 1;
}

/** prog_args_trusted(). */
function argsTrusted(env: Env): boolean {
  switch (env.progType) {
    case BPF_PROG_TYPE_TRACING:
      return env.expectedAttachType === BPF_TRACE_RAW_TP || env.expectedAttachType === BPF_TRACE_ITER;
    case BPF_PROG_TYPE_LSM:
      return !UNTRUSTED_LSM_HOOKS.has(env.attachFunc?.name ?? "");
    case BPF_PROG_TYPE_STRUCT_OPS:
      return true;
  }
  return false;
}

/** Int or enum that fits a word: btf_type_is_small_int(). */
function isSmallInt(btf: Btf, id: number): boolean {
  return isScalar(btf, id) && btf.sizeOrType(id) <= 8;
}

export function btfCtxAccess(
  env: Env,
  off: number,
  size: number,
  _write: boolean,
  info: CtxAccessInfo,
): boolean {
  const func = env.attachFunc;
  const name = func?.name ?? "";
  const fail = (message: string): false => {
    env.verbose(`${message}\n`);
    return false;
  };
  if (off % 8 !== 0) return fail(`func '${name}' offset ${off} is not multiple of 8`);
  const btf = func?.btf ?? env.kernelBtf;
  const proto = func?.protoId ?? 0;
  if (btf === null) return true;
  const arg = argIndex(btf, proto, off);
  let params = proto === 0 ? [] : paramsOf(btf, proto);
  let count = proto === 0 ? MAX_BPF_FUNC_REG_ARGS : params.length;
  if (env.attachBtfTrace) {
    // The first argument of the typedef btf_trace_X is the tracepoint's own.
    params = params.slice(1);
    count--;
  }
  const none = `func '${name}' doesn't have ${arg + 1}-th argument`;
  if (arg > count) return fail(none);
  let id: number;
  if (arg === count) {
    switch (env.expectedAttachType) {
      case BPF_LSM_MAC:
        info.isRetval = true;
        if (proto === 0) return true;
        id = btf.sizeOrType(proto);
        break;
      case BPF_LSM_CGROUP:
      case BPF_TRACE_FEXIT:
        if (proto === 0) return true;
        id = btf.sizeOrType(proto);
        break;
      case BPF_MODIFY_RETURN:
        if (proto === 0) return false;
        id = btf.skipModifiers(btf.sizeOrType(proto));
        if (!isSmallInt(btf, id)) return fail(`ret type ${kindName(btf, id)} not allowed for fmod_ret`);
        break;
      default:
        return fail(none);
    }
  } else {
    if (proto === 0) return true;
    id = params[arg]!.type;
  }
  id = btf.skipModifiers(id);
  if (isSmallInt(btf, id) || isStruct(btf, id)) return true;
  if (!isPtr(btf, id))
    return fail(
      `func '${name}' arg${arg} '${id === 0 ? "(anon)" : btf.typeName(id)}' has type ${kindName(btf, id)}. Only pointer access is allowed`,
    );
  if (size !== 8) return fail(`func '${name}' size ${size} must be 8`);

  const given = argInfo(env, off);
  if (given !== null && baseType(given.regType) === PTR_TO_BUF && mayBeNull(given.regType)) {
    info.regType = given.regType;
    return true;
  }
  const pointee = btf.sizeOrType(id);
  if (pointee === 0 || btf.skipModifiers(pointee) === 0) return true;
  if (isInt(btf, btf.skipModifiers(pointee))) return true;
  if (given !== null) {
    info.regType = given.regType;
    info.btf = given.btf;
    info.btfId = given.btfId;
    info.refObjId = given.refObjId;
    return true;
  }

  info.regType = PTR_TO_BTF_ID | (argsTrusted(env) ? PTR_TRUSTED : 0);
  if (params[arg]?.name.endsWith("__nullable")) info.regType |= PTR_MAYBE_NULL;
  let mayBeError = false;
  if (env.expectedAttachType === BPF_TRACE_RAW_TP) {
    const listed = RAW_TP_NULL_ARGS[tracepointName(env)];
    if (listed !== undefined) {
      if ((Math.floor(listed / 16 ** arg) & 1) !== 0) info.regType |= PTR_MAYBE_NULL;
      if ((Math.floor(listed / 16 ** arg) & 2) !== 0) mayBeError = true;
    } else if (btf !== env.kernelBtf) info.regType |= PTR_MAYBE_NULL;
  }
  const target = env.input.attach?.program ?? null;
  if (target !== null) {
    // Another program's function: only its context is known.
    if (!isProgCtxType(env, btf, id, target.progType)) return false;
    const ctx = kernelContextTypeOf(env, target.progType);
    if (ctx === 0) return false;
    info.btf = env.kernelBtf;
    info.btfId = ctx;
    return true;
  }
  if (btf.kind(pointee) === BTF_KIND_TYPE_TAG) {
    const tag = btf.typeName(pointee);
    if (tag === "user") info.regType |= MEM_USER;
    if (tag === "percpu") info.regType |= MEM_PERCPU;
  }
  info.btf = btf;
  info.btfId = btf.skipModifiers(pointee);
  if (!isStructOrUnion(btf, info.btfId))
    return fail(`func '${name}' arg${arg} type ${kindName(btf, info.btfId)} is not a struct`);
  env.verbose(
    `func '${name}' arg${arg} has btf_id ${info.btfId} type ${kindName(btf, info.btfId)} '${btf.typeName(info.btfId)}'\n`,
  );
  if (mayBeError) {
    env.verbose(`marking pointer arg${arg} as scalar as it may encode error`);
    info.regType = SCALAR_VALUE;
  }
  return true;
}

/** The tracepoint's name, where the attach target is `typedef btf_trace_NAME`. */
function tracepointName(env: Env): string {
  const { attach } = env.input;
  if (attach === null || attach.btfId === 0) return "";
  return attach.btf.typeName(attach.btfId).replace(/^btf_trace_/, "");
}

interface ArgInfo {
  readonly regType: number;
  readonly btf: Btf | null;
  readonly btfId: number;
  readonly refObjId: number;
}

/** prog->aux->ctx_arg_info for the argument at `off`. */
function argInfo(env: Env, off: number): ArgInfo | null {
  if (env.expectedAttachType === BPF_TRACE_ITER && env.progType === BPF_PROG_TYPE_TRACING) {
    const target = env.attachFunc?.name.replace(/^bpf_iter_/, "") ?? "";
    const found = ITER_ARGS[target]?.find((a) => a.off === off);
    if (found === undefined) return null;
    return {
      regType: found.regType,
      btf: env.kernelBtf,
      btfId: found.struct === "" ? 0 : findStruct(env.kernelBtf, found.struct),
      refObjId: 0,
    };
  }
  const ops = structOpsName(env);
  if (ops === "" || env.attachFunc === null) return null;
  return structOpsArgs(env).find((a) => a.off === off) ?? null;
}

export interface StructOpsArg extends ArgInfo {
  readonly off: number;
  /** The function owns a reference that it must release. */
  readonly refcounted: boolean;
}

/**
 * Arguments that the stub function STRUCT__MEMBER names with a suffix: `__nullable` may be null, `__ref` comes with a
 * reference (6.15+). prepare_arg_info().
 */
export function structOpsArgs(env: Env): readonly StructOpsArg[] {
  const func = env.attachFunc;
  if (func === null) return [];
  const stub = findId(func.btf, `${structOpsName(env)}__${func.name}`, BTF_KIND_FUNC);
  if (stub === 0) return [];
  const params = paramsOf(func.btf, func.protoId);
  const stubParams = paramsOf(func.btf, func.btf.sizeOrType(stub));
  const out: StructOpsArg[] = [];
  let off = 0;
  for (let i = 0; i < params.length; i++) {
    const name = stubParams[i]?.name ?? "";
    const ref = name.endsWith("__ref") && env.profile.rules.has("struct-ops-refcounted-args");
    const type = func.btf.skipModifiers(params[i]!.type);
    if ((name.endsWith("__nullable") || ref) && isPtr(func.btf, type)) {
      const btfId = func.btf.skipModifiers(func.btf.sizeOrType(type));
      if (func.btf.kind(btfId) === BTF_KIND_STRUCT)
        out.push({
          off,
          regType: PTR_TRUSTED | PTR_TO_BTF_ID | (ref ? 0 : PTR_MAYBE_NULL),
          btf: func.btf,
          btfId,
          refObjId: 0,
          refcounted: ref,
        });
    }
    off += slotSize(func.btf, params[i]!.type);
  }
  return out;
}

/**
 * Arguments of the program's own functions, from BTF: what a global function expects (btf_prepare_func_args()) and
 * whether a call gives it (btf_check_func_arg_match()). Static functions are looked at too, but nothing depends on it.
 */
import {
  BTF_FUNC_GLOBAL,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_INT,
  type Btf,
} from "../../btf/index.ts";
import { EFAULT, EINVAL, ENOENT, EOPNOTSUPP, ESRCH } from "../../uapi/index.ts";
import { tagValues } from "../btf/btf-record.ts";
import { isPtr, isStructOrUnion, isVoid, kindName, paramsOf, sizeOf } from "../btf/btf-types.ts";
import { isDynptrPtr, isProgCtxType, validateProgCtxType } from "../btf/prog-ctx-type.ts";
import { type Env, Rejection, type SubprogArg } from "../env.ts";
import { isNullScalar } from "../state/reg.ts";
import {
  baseType,
  MEM_RDONLY,
  mayBeNull,
  PTR_MAYBE_NULL,
  PTR_TO_ARENA,
  PTR_TO_CTX,
  PTR_TRUSTED,
  PTR_UNTRUSTED,
  SCALAR_VALUE,
} from "../state/reg-type.ts";
import * as A from "./arg-type.ts";
import { newCallMeta } from "./call-meta.ts";
import { processDynptr } from "./dynptr-arg.ts";
import { checkMemReg, withErrno } from "./helper-mem.ts";
import { checkFuncArgRegOff, checkRegType } from "./reg-compat.ts";

const MAX_BPF_FUNC_REG_ARGS = 5;

const TAGS: ReadonlySet<string> = new Set(["ctx", "trusted", "nonnull", "nullable", "arena", "untrusted"]);

/** An int or an enum. */
function isNumber(btf: Btf, id: number): boolean {
  const kind = btf.kind(id);
  return kind === BTF_KIND_INT || kind === BTF_KIND_ENUM || kind === BTF_KIND_ENUM64;
}

/** The kernel's type of that name and kind, for an argument tagged `trusted`. btf_get_ptr_to_btf_id(). */
function kernelTypeOf(env: Env, btf: Btf, ptr: number, arg: number): number {
  const id = btf.skipModifiers(btf.sizeOrType(ptr));
  const name = btf.typeName(id);
  const essential = name.replace(/___[^_].*$/, "");
  const found = new Set<number>();
  for (const kernelId of env.kernelBtf?.idsByName(essential) ?? [])
    if (env.kernelBtf!.kind(kernelId) === btf.kind(id)) found.add(kernelId);
  if (found.size !== 1)
    env.reject(
      found.size === 0 ? ENOENT : ESRCH,
      `arg#${arg} reference type('${kindName(btf, id)} ${name}') ${found.size === 0 ? "has no matches" : "is ambiguous"}`,
    );
  return [...found][0]!;
}

const none: SubprogArg = { argType: A.ARG_ANYTHING, memSize: 0, btfId: 0 };

function argOf(env: Env, btf: Btf, func: number, i: number, type: number, global: boolean): SubprogArg {
  const tags = new Set<string>();
  for (const tag of tagValues(btf, func, i, "arg:")) {
    if (!global) env.reject(EOPNOTSUPP, `arg#${i} type tag is not supported in static functions`);
    if (!TAGS.has(tag) || (tag === "untrusted" && !env.profile.rules.has("untrusted-args")))
      env.reject(EOPNOTSUPP, `arg#${i} has unsupported set of tags`);
    tags.add(tag);
  }
  const only = (...allowed: string[]): boolean => [...tags].every((t) => allowed.includes(t));
  const combination = (): never => env.reject(EINVAL, `arg#${i} has invalid combination of tags`);
  const id = btf.skipModifiers(type);
  if (isPtr(btf, id)) {
    if (tags.has("ctx") || isProgCtxType(env, btf, id, env.resolvedProgType)) {
      if (!only("ctx")) combination();
      if (tags.has("ctx"))
        withErrno(EINVAL, () =>
          validateProgCtxType(env, btf, id, i, env.resolvedProgType, env.input.expectedAttachType),
        );
      return { ...none, argType: A.ARG_PTR_TO_CTX };
    }
    if (isDynptrPtr(btf, id)) {
      if (tags.size !== 0) combination();
      return { ...none, argType: A.ARG_PTR_TO_DYNPTR | MEM_RDONLY };
    }
    if (tags.has("trusted")) {
      if (tags.has("nonnull")) combination();
      const nullable = tags.has("nullable") ? PTR_MAYBE_NULL : 0;
      return {
        argType: A.ARG_PTR_TO_BTF_ID | PTR_TRUSTED | nullable,
        memSize: 0,
        btfId: kernelTypeOf(env, btf, id, i),
      };
    }
    if (tags.has("untrusted")) {
      if (!only("untrusted")) env.reject(EINVAL, `arg#${i} untrusted cannot be combined with any other tags`);
      const pointee = btf.skipModifiers(btf.sizeOrType(id));
      if (isVoid(pointee) || isNumber(btf, pointee))
        return { ...none, argType: A.ARG_PTR_TO_MEM | MEM_RDONLY | PTR_UNTRUSTED };
      const btfId = kernelTypeOf(env, btf, id, i);
      if (!isStructOrUnion(env.kernelBtf!, btfId))
        env.reject(
          EINVAL,
          `arg#${i} has type ${kindName(env.kernelBtf!, btfId)} '${env.kernelBtf!.typeName(btfId)}', but only struct or primitive types are allowed`,
        );
      return { argType: A.ARG_PTR_TO_BTF_ID | PTR_UNTRUSTED, memSize: 0, btfId };
    }
    if (tags.has("arena")) {
      if (!only("arena")) env.reject(EINVAL, `arg#${i} arena cannot be combined with any other tags`);
      return { ...none, argType: A.ARG_PTR_TO_ARENA };
    }
    if (global) {
      if (tags.has("nullable")) combination();
      const pointee = btf.skipModifiers(btf.sizeOrType(id));
      const memSize = sizeOf(btf, pointee);
      if (memSize < 0)
        env.reject(
          EINVAL,
          `arg#${i} reference type('${kindName(btf, pointee)} ${btf.typeName(pointee)}') size cannot be determined: -22`,
        );
      const nullable = tags.has("nonnull") ? 0 : PTR_MAYBE_NULL;
      return { argType: A.ARG_PTR_TO_MEM | nullable, memSize, btfId: 0 };
    }
  }
  if (tags.size !== 0) env.reject(EINVAL, `arg#${i} has pointer tag, but is not a pointer type`);
  if (isNumber(btf, id)) return none;
  if (!global) env.reject(EINVAL, "");
  return env.reject(
    EINVAL,
    `Arg#${i} type ${kindName(btf, id)} in ${btf.typeName(func)}() is not supported yet.`,
  );
}

/** What `subprog` expects, found once. Rejects where the kernel does. */
export function prepareFuncArgs(env: Env, subprog: number): readonly SubprogArg[] {
  const info = env.subprogs[subprog]!;
  if (info.argCount >= 0) return info.args;
  const { btf } = env.input;
  if (btf === null || !env.hasFuncInfo) return env.reject(EFAULT, "Verifier bug");
  const global = info.linkage === BTF_FUNC_GLOBAL;
  const func = info.btfTypeId;
  if (func === 0) env.reject(global ? EFAULT : EINVAL, global ? "Global functions need valid BTF" : "");
  if (btf.kind(func) !== BTF_KIND_FUNC)
    env.reject(EFAULT, `BTF of func#${subprog} doesn't point to KIND_FUNC`);
  const name = btf.typeName(func);
  if (info.unreliable === true) env.reject(EFAULT, `Verifier bug in function ${name}()`);
  const proto = btf.sizeOrType(func);
  if (btf.kind(proto) !== BTF_KIND_FUNC_PROTO) env.reject(EFAULT, `Invalid type of function ${name}()`);
  const params = paramsOf(btf, proto);
  if (params.length > MAX_BPF_FUNC_REG_ARGS)
    env.reject(
      EINVAL,
      global
        ? `Global function ${name}() with ${params.length} > ${MAX_BPF_FUNC_REG_ARGS} args. Buggy compiler.`
        : "",
    );
  if (!isNumber(btf, btf.skipModifiers(btf.sizeOrType(proto))))
    env.reject(
      EINVAL,
      global ? `Global function ${name}() doesn't return scalar. Only those are supported.` : "",
    );
  info.args = params.map((p, i) => argOf(env, btf, func, i, p.type, global));
  info.argCount = params.length;
  return info.args;
}

function checkArg(env: Env, i: number, arg: SubprogArg): void {
  const regno = i + 1;
  const reg = env.reg(regno);
  const { argType } = arg;
  const base = baseType(argType);
  if (argType === A.ARG_ANYTHING) {
    if (reg.type !== SCALAR_VALUE) env.reject(EINVAL, `R${regno} is not a scalar`);
  } else if ((argType & PTR_UNTRUSTED) !== 0) {
    // Anything will do: it is only read, and faults are caught.
  } else if (argType === A.ARG_PTR_TO_CTX) {
    checkFuncArgRegOff(env, reg, regno, A.ARG_DONTCARE);
    if (reg.type !== PTR_TO_CTX) env.reject(EINVAL, `arg#${i} expects pointer to ctx`);
  } else if (base === A.ARG_PTR_TO_MEM) {
    checkFuncArgRegOff(env, reg, regno, A.ARG_DONTCARE);
    withErrno(EINVAL, () => checkMemReg(env, regno, arg.memSize));
    if (!mayBeNull(argType) && mayBeNull(env.reg(regno).type))
      env.reject(EINVAL, `arg#${i} is expected to be non-NULL`);
  } else if (base === A.ARG_PTR_TO_ARENA) {
    if (reg.type !== PTR_TO_ARENA && reg.type !== SCALAR_VALUE)
      env.reject(EINVAL, `R${regno} is not a pointer to arena or scalar.`);
  } else if (base === A.ARG_PTR_TO_DYNPTR) {
    checkFuncArgRegOff(env, reg, regno, A.ARG_PTR_TO_DYNPTR);
    processDynptr(env, regno, -1, argType, 0);
  } else if (base === A.ARG_PTR_TO_BTF_ID) {
    if (isNullScalar(reg) && mayBeNull(argType)) return;
    checkRegType(env, regno, argType, arg.btfId, newCallMeta(0, false));
    checkFuncArgRegOff(env, reg, regno, argType);
  } else env.reject(EFAULT, `verifier bug: unrecognized arg#${i} type ${argType}`);
}

/**
 * Compares R1 to R5 with what `subprog` expects; 0, or the errno with which they do not fit (a message was logged).
 * Only for global functions does it matter. btf_check_subprog_call().
 */
export function checkSubprogCall(env: Env, subprog: number): number {
  const info = env.subprogs[subprog]!;
  if (env.input.btf === null || !env.hasFuncInfo) return EINVAL;
  if (info.btfTypeId === 0) return EFAULT;
  if (info.unreliable === true) return EINVAL;
  try {
    const args = prepareFuncArgs(env, subprog);
    for (let i = 0; i < args.length; i++) checkArg(env, i, args[i]!);
    return 0;
  } catch (e) {
    if (!(e instanceof Rejection)) throw e;
    info.unreliable = true;
    return e.errno;
  }
}

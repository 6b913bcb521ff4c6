/** func_info and line_info as passed to BPF_PROG_LOAD: check_btf_info_early(), check_btf_info(). */
import {
  BTF_FUNC_GLOBAL,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_INT,
} from "../../btf/index.ts";
import { EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";

/** Functions without BTF cannot leave early: nobody knows what they return. check_abnormal_return(). */
function checkAbnormalReturn(env: Env): void {
  for (const subprog of env.subprogs.slice(1)) {
    if (subprog.hasLdAbs) env.reject(EINVAL, "LD_ABS is not allowed in subprogs without BTF");
    if (subprog.hasTailCall) env.reject(EINVAL, "tail_call is not allowed in subprogs without BTF");
  }
}

/** Before the functions are known: the records by themselves. check_btf_func_early(). */
export function checkFuncInfoEarly(env: Env): void {
  const { btf, funcInfo } = env.input;
  if (btf === null || funcInfo.length === 0) return;
  let prev = 0;
  for (const [i, { insn, typeId }] of funcInfo.entries()) {
    // These messages have no newline in the kernel either.
    let message = "";
    if (i === 0 && insn !== 0) message = `nonzero insn_off ${insn} for the first func info record`;
    else if (i > 0 && insn <= prev)
      message = `same or smaller insn offset (${insn}) than previous func info record (${prev})`;
    else if (typeId <= 0 || typeId >= btf.typeCount || btf.kind(typeId) !== BTF_KIND_FUNC)
      message = `invalid type id ${typeId} in func info`;
    if (message !== "") {
      env.verbose(message);
      env.reject(EINVAL, "");
    }
    if (btf.kind(btf.sizeOrType(typeId)) !== BTF_KIND_FUNC_PROTO) env.reject(EINVAL, "");
    prev = insn;
  }
}

/** Now that they are: a record for each function, in order. check_btf_func(). */
function checkFuncInfo(env: Env): void {
  const { btf, funcInfo } = env.input;
  if (btf === null || funcInfo.length === 0) {
    checkAbnormalReturn(env);
    return;
  }
  if (funcInfo.length !== env.subprogs.length)
    env.reject(EINVAL, "number of funcs in func_info doesn't match number of subprogs");
  env.hasFuncInfo = true;
  for (const [i, subprog] of env.subprogs.entries()) {
    const { insn, typeId } = funcInfo[i]!;
    if (subprog.start !== insn)
      env.reject(EINVAL, "func_info BTF section doesn't match subprog layout in BPF program");
    subprog.btfTypeId = typeId;
    subprog.linkage = btf.vlen(typeId);
    subprog.isGlobal = subprog.linkage === BTF_FUNC_GLOBAL;
    subprog.name = btf.typeName(typeId);
    const ret = btf.skipModifiers(btf.sizeOrType(btf.sizeOrType(typeId)));
    const kind = btf.kind(ret);
    const scalar =
      kind === BTF_KIND_ENUM ||
      kind === BTF_KIND_ENUM64 ||
      (kind === BTF_KIND_INT && btf.sizeOrType(ret) <= 8);
    if (i > 0 && !scalar && subprog.hasLdAbs)
      env.reject(EINVAL, "LD_ABS is only allowed in functions that return 'int'.");
    if (i > 0 && !scalar && subprog.hasTailCall)
      env.reject(EINVAL, "tail_call is only allowed in functions that return 'int'.");
  }
}

/** check_btf_line(). */
function checkLineInfo(env: Env): void {
  const { lineInfo } = env.input;
  if (lineInfo.length === 0) return;
  let s = 0;
  let prev = 0;
  for (const [i, { insn }] of lineInfo.entries()) {
    if ((i > 0 && insn <= prev) || insn >= env.slots.count)
      env.reject(
        EINVAL,
        `Invalid line_info[${i}].insn_off:${insn} (prev_offset:${prev} prog->len:${env.slots.count})`,
      );
    if (env.slots.op[insn] === 0) env.reject(EINVAL, `Invalid insn code at line_info[${i}].insn_off`);
    if (s < env.subprogs.length) {
      const { start } = env.subprogs[s]!;
      if (insn === start) s++;
      else if (start < insn) env.reject(EINVAL, `missing bpf_line_info for func#${s}`);
    }
    prev = insn;
  }
  if (s !== env.subprogs.length)
    env.reject(EINVAL, `missing bpf_line_info for ${env.subprogs.length - s} funcs starting from func#${s}`);
}

export function checkBtfInfo(env: Env): void {
  checkFuncInfo(env);
  checkLineInfo(env);
}

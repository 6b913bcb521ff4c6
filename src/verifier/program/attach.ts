/** What the program is attached to: check_attach_btf_id(), bpf_check_attach_target(), check_struct_ops_btf_id(). */
import {
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPEDEF,
  type Btf,
} from "../../btf/index.ts";
import * as U from "../../uapi/index.ts";
import { EINVAL, ENOTSUPP, EOPNOTSUPP } from "../../uapi/index.ts";
import { membersOf, resolveFuncPtr } from "../btf/btf-types.ts";
import type { Env } from "../env.ts";
import type { AttachedProgram } from "../input.ts";

/** can_be_sleepable(). */
function canBeSleepable(env: Env): boolean {
  const attach = env.expectedAttachType;
  switch (env.progType) {
    case U.BPF_PROG_TYPE_TRACING:
      return (
        attach === U.BPF_TRACE_FENTRY ||
        attach === U.BPF_TRACE_FEXIT ||
        attach === U.BPF_MODIFY_RETURN ||
        attach === U.BPF_TRACE_ITER
      );
    case U.BPF_PROG_TYPE_LSM:
      return attach !== U.BPF_LSM_CGROUP;
    case U.BPF_PROG_TYPE_KPROBE:
    case U.BPF_PROG_TYPE_STRUCT_OPS:
      return true;
    default:
      return false;
  }
}

/** A member of a struct_ops type. check_struct_ops_btf_id(). */
function checkStructOps(env: Env): void {
  if (!env.gplCompatible) env.reject(EINVAL, "struct ops programs must have a GPL compatible license");
  const { attach } = env.input;
  if (attach === null || attach.btfId === 0) env.reject(ENOTSUPP, "");
  const { btf, btfId } = attach;
  const name = btfId < btf.typeCount && btf.kind(btfId) === BTF_KIND_STRUCT ? btf.typeName(btfId) : "";
  if (name === "" || btf.findByName(`bpf_struct_ops_${name}`, BTF_KIND_STRUCT) === undefined)
    env.reject(ENOTSUPP, `attach_btf_id ${btfId} is not a supported struct`);
  const index = env.input.expectedAttachType;
  const member = membersOf(btf, btfId)[index];
  if (member === undefined) env.reject(EINVAL, `attach to invalid member idx ${index} of struct ${name}`);
  const proto = resolveFuncPtr(btf, member.type);
  if (proto === 0)
    env.reject(EINVAL, `attach to invalid member ${member.name}(@idx ${index}) of struct ${name}`);
  if (UNSUPPORTED_MEMBERS.has(`${name}.${member.name}`))
    env.reject(EOPNOTSUPP, `attach to unsupported member ${member.name} of struct ${name}`);
  if (
    env.inSleepableProg &&
    NO_SLEEPABLE_MEMBERS.has(name) &&
    !SLEEPABLE_MEMBERS.has(`${name}.${member.name}`)
  )
    env.reject(EINVAL, `attach to unsupported member ${member.name} of struct ${name}`);
  env.attachFunc = { name: member.name, btf, protoId: proto };
  env.structOpsMember = `${name}.${member.name}`;
}

/** Members that programs cannot be (unsupported_ops and the like). */
const UNSUPPORTED_MEMBERS: ReadonlySet<string> = new Set(["tcp_congestion_ops.get_info"]);
/** struct_ops whose check_member refuses sleepable programs, but for these members. */
const NO_SLEEPABLE_MEMBERS: ReadonlySet<string> = new Set(["bpf_dummy_ops", "hid_bpf_ops", "Qdisc_ops"]);
const SLEEPABLE_MEMBERS: ReadonlySet<string> = new Set([
  "bpf_dummy_ops.test_sleepable",
  "hid_bpf_ops.hid_rdesc_fixup",
  "hid_bpf_ops.hid_hw_request",
  "hid_bpf_ops.hid_hw_output_report",
]);

/** An extension, or a tracing program of a program. */
function checkTargetProgram(env: Env, target: AttachedProgram): void {
  const extension = env.progType === U.BPF_PROG_TYPE_EXT;
  if (env.progType === U.BPF_PROG_TYPE_TRACING) {
    if (target.progType === U.BPF_PROG_TYPE_TRACING && target.attachedTo?.program != null)
      env.reject(EINVAL, "Cannot nest tracing program attach more than once");
  } else if (target.progType === env.progType) env.reject(EINVAL, "Cannot recursively attach");
  const fentry =
    target.expectedAttachType === U.BPF_TRACE_FENTRY || target.expectedAttachType === U.BPF_TRACE_FEXIT;
  if (extension && target.progType === U.BPF_PROG_TYPE_TRACING && fentry)
    env.reject(EINVAL, "Cannot extend fentry/fexit");
}

/** The prototype behind a raw tracepoint's typedef btf_trace_X. */
function rawTracepoint(env: Env, btf: Btf, id: number): void {
  const prefix = "btf_trace_";
  if (btf.kind(id) !== BTF_KIND_TYPEDEF) env.reject(EINVAL, `attach_btf_id ${id} is not a typedef`);
  const name = btf.typeName(id);
  if (!name.startsWith(prefix)) env.reject(EINVAL, `attach_btf_id ${id} points to wrong type name ${name}`);
  const short = name.slice(prefix.length);
  // The probe function of the tracepoint has names for its arguments.
  const template = btf.findByName(`__bpf_trace_${short}`, BTF_KIND_FUNC);
  let proto: number;
  if (template !== undefined) proto = btf.sizeOrType(template);
  else {
    const ptr = btf.sizeOrType(id);
    if (btf.kind(ptr) !== BTF_KIND_PTR) env.reject(EINVAL, "");
    proto = btf.sizeOrType(ptr);
  }
  if (btf.kind(proto) !== BTF_KIND_FUNC_PROTO) env.reject(EINVAL, "");
  env.attachFunc = { name: short, btf, protoId: proto };
  env.attachBtfTrace = true;
}

function functionProto(env: Env, btf: Btf, id: number): number {
  if (btf.kind(id) !== BTF_KIND_FUNC) env.reject(EINVAL, `attach_btf_id ${id} is not a function`);
  const proto = btf.sizeOrType(id);
  if (btf.kind(proto) !== BTF_KIND_FUNC_PROTO) env.reject(EINVAL, "");
  return proto;
}

/** Whether the kernel function may be traced by a program that sleeps. */
function sleepableTarget(env: Env, name: string): boolean {
  switch (env.progType) {
    case U.BPF_PROG_TYPE_TRACING:
      return (
        // What ALLOW_ERROR_INJECTION names (system calls...): the recorded kernels are built without it.
        env.profile.btfIdSet("error_injection").has(name) || env.profile.kfunc(name)?.fmodret === true
      );
    case U.BPF_PROG_TYPE_LSM:
      return env.profile.btfIdSet("sleepable_lsm_hooks").has(name);
    default:
      return false;
  }
}

/** What programs may replace the result of without being a kfunc: register_btf_fmodret_id_set(). */
const FMODRET: ReadonlySet<string> = new Set(["update_socket_protocol", "bpf_rstat_flush"]);

/** check_attach_modify_return(), btf_kfunc_is_modify_return(). */
function modifiable(env: Env, name: string): boolean {
  return (
    name.startsWith("security_") ||
    FMODRET.has(name) ||
    env.profile.btfIdSet("error_injection").has(name) ||
    env.profile.kfunc(name)?.fmodret === true
  );
}

/** bpf_lsm_verify_prog(). */
function checkLsm(env: Env, name: string, id: number): void {
  if (!env.gplCompatible) env.reject(EINVAL, "LSM programs must have a GPL compatible license");
  if (env.profile.btfIdSet("bpf_lsm_disabled_hooks").has(name))
    env.reject(EINVAL, `attach_btf_id ${id} points to disabled hook ${name}`);
  const hooks = env.profile.btfIdSet("bpf_lsm_hooks");
  if (hooks.size > 0 ? !hooks.has(name) : !name.startsWith("bpf_lsm_"))
    env.reject(EINVAL, `attach_btf_id ${id} points to wrong type name ${name}`);
}

/** bpf_check_attach_target(). */
function checkTarget(env: Env): void {
  const { attach } = env.input;
  const extension = env.progType === U.BPF_PROG_TYPE_EXT;
  if (attach === null || attach.btfId === 0) env.reject(EINVAL, "Tracing programs must provide btf_id");
  const { btf, btfId, program } = attach;
  if (btfId >= btf.typeCount) env.reject(EINVAL, `attach_btf_id ${btfId} is invalid`);
  const name = btf.typeName(btfId);
  if (name === "") env.reject(EINVAL, `attach_btf_id ${btfId} doesn't have a name`);
  if (program !== null) checkTargetProgram(env, program);
  else if (extension) env.reject(EINVAL, "Cannot replace kernel functions");

  switch (env.expectedAttachType) {
    case U.BPF_TRACE_RAW_TP:
      if (program !== null) env.reject(EINVAL, "Only FENTRY/FEXIT progs are attachable to another BPF prog");
      rawTracepoint(env, btf, btfId);
      return;
    case U.BPF_TRACE_ITER:
      env.attachFunc = { name, btf, protoId: functionProto(env, btf, btfId) };
      return;
    case U.BPF_MODIFY_RETURN:
    case U.BPF_LSM_MAC:
    case U.BPF_LSM_CGROUP:
    case U.BPF_TRACE_FENTRY:
    case U.BPF_TRACE_FEXIT:
      break;
    default:
      if (!extension) env.reject(EINVAL, "");
  }
  const protoId = functionProto(env, btf, btfId);
  env.attachFunc = { name, btf, protoId };
  if (env.inSleepableProg) {
    if (!sleepableTarget(env, name)) env.reject(EINVAL, `${name} is not sleepable`);
  } else if (env.expectedAttachType === U.BPF_MODIFY_RETURN) {
    if (program !== null) env.reject(EINVAL, "can't modify return codes of BPF programs");
    if (!modifiable(env, name)) env.reject(EINVAL, `${name}() is not modifiable`);
  }
}

/** Functions that tracing programs must keep off: btf_id_deny. */
const DENIED: ReadonlySet<string> = new Set([
  "migrate_disable",
  "migrate_enable",
  "rcu_read_unlock_strict",
  "preempt_count_add",
  "preempt_count_sub",
  "__rcu_read_lock",
  "__rcu_read_unlock",
]);

/** Functions that do not return: noreturn_deny. */
const NORETURN: ReadonlySet<string> = new Set([
  "__ia32_sys_exit",
  "__ia32_sys_exit_group",
  "__kunit_abort",
  "kunit_try_catch_throw",
  "__module_put_and_kthread_exit",
  "__x64_sys_exit",
  "__x64_sys_exit_group",
  "do_exit",
  "do_group_exit",
  "kthread_complete_and_exit",
  "kthread_exit",
  "make_task_dead",
]);

/** bpf_iter_prog_supported(): the iterators that the kernel registered. */
const ITER_PREFIX = "bpf_iter_";

export function checkAttach(env: Env): void {
  const type = env.progType;
  if (type === U.BPF_PROG_TYPE_SYSCALL) {
    if (!env.inSleepableProg) env.reject(EINVAL, "Syscall programs can only be sleepable");
    return;
  }
  if (env.inSleepableProg && !canBeSleepable(env))
    env.reject(
      EINVAL,
      "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable",
    );
  if (type === U.BPF_PROG_TYPE_STRUCT_OPS) {
    checkStructOps(env);
    return;
  }
  if (type !== U.BPF_PROG_TYPE_TRACING && type !== U.BPF_PROG_TYPE_LSM && type !== U.BPF_PROG_TYPE_EXT)
    return;
  checkTarget(env);
  const { btfId, program } = env.input.attach!;
  const { name } = env.attachFunc!;
  if (program !== null && type === U.BPF_PROG_TYPE_EXT) {
    env.expectedAttachType = program.expectedAttachType;
  }
  const attach = env.expectedAttachType;
  if (type !== U.BPF_PROG_TYPE_EXT && attach === U.BPF_TRACE_RAW_TP) return;
  if (type !== U.BPF_PROG_TYPE_EXT && attach === U.BPF_TRACE_ITER) {
    if (!name.startsWith(ITER_PREFIX)) env.reject(EINVAL, "");
    return;
  }
  if (type === U.BPF_PROG_TYPE_LSM) checkLsm(env, name, btfId);
  else if (type === U.BPF_PROG_TYPE_TRACING && program === null && DENIED.has(name)) env.reject(EINVAL, "");
  else if (
    (attach === U.BPF_TRACE_FEXIT || attach === U.BPF_MODIFY_RETURN) &&
    NORETURN.has(name) &&
    program === null
  )
    env.reject(EINVAL, "Attaching fexit/fmod_ret to __noreturn functions is rejected.");
}

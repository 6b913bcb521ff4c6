// Programs whose context is a plain block of bytes: raw tracepoints and syscall programs (bpf_prog_test_run_raw_tp and
// bpf_prog_test_run_syscall of net/bpf/test_run.c).
import { BPF_F_TEST_RUN_ON_CPU, EINVAL, ENXIO } from "../../uapi/index.ts";
import type { TestRun } from "../program-type.ts";
import { failed } from "./result.ts";

/** MAX_BPF_FUNC_ARGS u64. */
const MAX_RAW_TP_CONTEXT = 96;
const MAX_SYSCALL_CONTEXT = 0xffff;

export const rawTracepointTestRun: TestRun = (env, program, attr) => {
  const given = attr.ctx_in ?? new Uint8Array(0);
  const onCpu = ((attr.flags ?? 0) & BPF_F_TEST_RUN_ON_CPU) !== 0;
  const cpu = attr.cpu ?? 0;
  if (attr.data_in?.length || attr.data_size_out || attr.ctx_size_out || attr.repeat || attr.batch_size)
    return failed(-EINVAL);
  if (given.length < program.maxCtxOffset || given.length > MAX_RAW_TP_CONTEXT) return failed(-EINVAL);
  if (!onCpu && cpu !== 0) return failed(-EINVAL);
  if (onCpu && cpu >= env.space.cpus) return failed(-ENXIO);
  const { space } = env;
  const before = space.currentCpu;
  const ctx = given.length === 0 ? 0 : space.alloc(given.length, "rw");
  try {
    space.u8.set(given, ctx);
    if (onCpu) space.selectCpu(cpu);
    const { retval } = env.runner.repeat(program, ctx, 1);
    return { ...failed(0), retval };
  } finally {
    space.selectCpu(before);
    if (ctx !== 0) space.free(ctx);
  }
};

export const syscallTestRun: TestRun = (env, program, attr) => {
  const given = attr.ctx_in ?? new Uint8Array(0);
  if (attr.data_in?.length || attr.data_size_out || attr.ctx_size_out) return failed(-EINVAL);
  if (attr.repeat || attr.flags || attr.batch_size) return failed(-EINVAL);
  if (given.length < program.maxCtxOffset || given.length > MAX_SYSCALL_CONTEXT) return failed(-EINVAL);
  const { space } = env;
  const ctx = given.length === 0 ? 0 : space.alloc(given.length, "rw");
  try {
    space.u8.set(given, ctx);
    const { retval } = env.runner.repeat(program, ctx, 1);
    // The kernel writes the context back to where it came from.
    given.set(space.u8.subarray(ctx, ctx + given.length));
    return { ...failed(0), retval };
  } finally {
    if (ctx !== 0) space.free(ctx);
  }
};

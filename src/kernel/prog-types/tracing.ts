// Program types that look at the kernel itself, and syscall programs.
import {
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
} from "../../uapi/index.ts";
import { helpersOf, type ProgramType } from "../program-type.ts";
import { rawTracepointTestRun, syscallTestRun } from "../test-run/context.ts";
import { tracingTestRun } from "../test-run/tracing.ts";

function plain(type: number, name: string, more: Partial<ProgramType> = {}): ProgramType {
  return { type, name, helpers: helpersOf(type), contextSize: 0, ...more };
}

export const TRACING_TYPES: readonly ProgramType[] = [
  plain(BPF_PROG_TYPE_KPROBE, "kprobe"),
  plain(BPF_PROG_TYPE_TRACEPOINT, "tracepoint"),
  plain(BPF_PROG_TYPE_PERF_EVENT, "perf_event"),
  plain(BPF_PROG_TYPE_RAW_TRACEPOINT, "raw_tracepoint", { testRun: rawTracepointTestRun }),
  plain(BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, "raw_tracepoint_writable", { testRun: rawTracepointTestRun }),
  plain(BPF_PROG_TYPE_TRACING, "tracing", { testRun: tracingTestRun }),
  plain(BPF_PROG_TYPE_LSM, "lsm"),
  plain(BPF_PROG_TYPE_STRUCT_OPS, "struct_ops"),
  plain(BPF_PROG_TYPE_EXT, "ext", { attachTypes: [0] }),
  plain(BPF_PROG_TYPE_SYSCALL, "syscall", { attachTypes: [0], testRun: syscallTestRun }),
];

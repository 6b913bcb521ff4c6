import type { TestRunAttr, TestRunResult } from "../backend/index.ts";
import type { NetDevice } from "../helpers/index.ts";
import { HELPERS_BY_PROG_TYPE } from "../uapi/index.ts";
import type { AddressSpace } from "../vm/index.ts";
import type { Runnable, Runner } from "./runner.ts";
import type { SkbBuffer, SkbView } from "./skb-buffer.ts";
import type { XdpBuffer } from "./xdp-buffer.ts";

/** What a test run may use of its kernel. */
export interface TestRunEnv {
  readonly space: AddressSpace;
  readonly runner: Runner;
  device(ifindex: number): NetDevice | undefined;
  /** A buffer for the duration of `use`; runs may nest. */
  withSkb<T>(use: (buffer: SkbBuffer) => T): T;
  withXdp<T>(use: (buffer: XdpBuffer) => T): T;
}

/** What a test run sees of its program. */
export interface TestedProgram extends Runnable {
  readonly expectedAttachType: number;
  /** How far into its context the program reads. */
  readonly maxCtxOffset: number;
}

export type TestRun = (env: TestRunEnv, program: TestedProgram, attr: TestRunAttr) => TestRunResult;

/** A program type: one entry of the table that PROG_LOAD and PROG_TEST_RUN read. Later subsystems add theirs. */
export interface ProgramType {
  /** BPF_PROG_TYPE_* */
  readonly type: number;
  /** bpftool's name. */
  readonly name: string;
  /** Ids of the helpers that its programs may call. */
  readonly helpers: ReadonlySet<number>;
  /** Bytes of the context struct; 0 where it depends on the attach point or the run. */
  readonly contextSize: number;
  /** expected_attach_type values that PROG_LOAD takes; undefined: any. */
  readonly attachTypes?: readonly number[];
  /** What 0 stands for. */
  readonly defaultAttachType?: number;
  /** undefined: BPF_PROG_TEST_RUN answers -ENOTSUPP. */
  readonly testRun?: TestRun;
  /** Types on struct __sk_buff: how they see packets. */
  readonly skbView?: SkbView;
}

export function helpersOf(type: number): ReadonlySet<number> {
  return new Set(HELPERS_BY_PROG_TYPE[type] ?? []);
}

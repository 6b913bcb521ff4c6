/** What goes into a verification and what comes out. Pure data in, pure data out. */
import type { Btf } from "../btf/index.ts";
import type { MapDescription } from "./map-description.ts";
import type { VerifierState } from "./state/state.ts";

/** The target of fentry, LSM, freplace, struct_ops and their kin. */
export interface AttachTarget {
  /** BTF that `btfId` lies in: the kernel's, a module's, or another program's. */
  readonly btf: Btf;
  readonly btfId: number;
  /** Another BPF program (freplace, fentry on a program): its type, and which of its functions. */
  readonly program: AttachedProgram | null;
}

export interface AttachedProgram {
  readonly progType: number;
  readonly expectedAttachType: number;
  readonly funcName: string;
  readonly sleepable: boolean;
  readonly attachedTo: AttachTarget | null;
}

export interface VerifierInput {
  /** Slots of 8 bytes as passed to BPF_PROG_LOAD; BPF_PSEUDO_MAP_FD and _MAP_VALUE carry an index into `maps` as fd. */
  readonly insns: Uint8Array;
  readonly maps: readonly (MapDescription | undefined)[];
  /** What is added to an index to make it a map's fd, so that numbers that no map has stay so; 0 by default. */
  readonly mapFdBase?: number;
  readonly progType: number;
  readonly expectedAttachType: number;
  /** BPF_F_* of BPF_PROG_LOAD: strict alignment, test flags, sleepable, XDP_HAS_FRAGS. */
  readonly progFlags: number;
  readonly license: string;
  readonly name: string;
  /** The program's own BTF with func_info and line_info (records as in .BTF.ext, instruction offsets in slots of 8 bytes). */
  readonly btf: Btf | null;
  readonly funcInfo: readonly { readonly insn: number; readonly typeId: number }[];
  readonly lineInfo: readonly LineInfo[];
  readonly attach: AttachTarget | null;
  /** STRUCT_OPS: the member's index (expected_attach_type) is in expectedAttachType, the struct in `attach`. */
  /** BTFs that kfunc calls' `off` field and BTF pseudo-loads index; 0 is the kernel's own. */
  readonly moduleBtfs?: readonly Btf[];
  /** What BPF_PSEUDO_MAP_IDX and _IDX_VALUE index: indexes of `maps`. */
  readonly fdArray?: readonly number[];
  /** Capabilities of the loader. All by default. */
  readonly caps?: {
    readonly bpf?: boolean;
    readonly perfmon?: boolean;
    readonly netAdmin?: boolean;
    readonly sysAdmin?: boolean;
  };
}

export interface LineInfo {
  readonly insn: number;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** The source line's text. */
  readonly text: string;
}

/** BPF_LOG_LEVEL1, 2 and BPF_LOG_STATS. */
export const BPF_LOG_LEVEL1 = 1;
export const BPF_LOG_LEVEL2 = 2;
export const BPF_LOG_STATS = 4;

export interface VerifierOptions {
  readonly logLevel?: number;
  /** Keeps the structured history of every path (the diagnostics' and the debugger's source). */
  readonly history?: boolean;
  /** Instructions to process at most; the kernel's BPF_COMPLEXITY_LIMIT_INSNS by default. */
  readonly limit?: number;
  /** nr_cpu_ids of the kernel: what bpf_get_smp_processor_id() stays below; default 64. */
  readonly cpus?: number;
  readonly onProgress?: (processed: number) => void;
  /** Before each instruction of each path: what the verifier claims there. Copy the state to keep it. */
  readonly onInsn?: (insn: number, state: VerifierState) => void;
  /** Every path is followed to its end: no state stands for another. */
  readonly exhaustive?: boolean;
}

export interface VerifierStats {
  /** env->insn_processed. */
  readonly processed: number;
  readonly totalStates: number;
  readonly peakStates: number;
  readonly maxStatesPerInsn: number;
  /** Per subprogram, in bytes. */
  readonly stackDepths: readonly number[];
  readonly timeMs: number;
}

export interface VerifierResult {
  readonly ok: boolean;
  /** 0, or a positive errno. */
  readonly errno: number;
  readonly log: string;
  /** The last message, without the log around it; empty when accepted. */
  readonly message: string;
  /** Where it was rejected (slot), or -1. */
  readonly insn: number;
  readonly stats: VerifierStats;
  /** Accepted programs: the instructions that run, without dead code; and where each slot of them stood. */
  readonly program: { readonly insns: Uint8Array; readonly origin: Int32Array } | null;
}

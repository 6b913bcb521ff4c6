/**
 * What an engine (interpreter, JIT) takes and gives. The embedded kernel resolves a program to this form; the engines
 * know nothing of file descriptors, objects or program types.
 */

import { BPF_MEMSX } from "../uapi/index.ts";
import { PROBE_SIGNED } from "./layout.ts";

/** A map as generated code may know it: enough to inline lookups. Addresses are offsets in linear memory. */
export interface VmMap {
  /** Offset of `struct bpf_map`; LD_IMM64 carries it as a full 64-bit pointer (POINTER_HIGH in the high half). */
  readonly address: number;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** Arrays: offset of element 0 and the distance between elements; 0 for other types. */
  readonly values: number;
  readonly stride: number;
  /** Per-CPU arrays: distance between one CPU's copy and the next one's. */
  readonly cpuStride: number;
  /** Core exports that do this very map's operations. */
  readonly direct?: DirectCalls;
  /** BPF_MAP_TYPE_HASH with keys of 4 bytes: what an inlined lookup walks. */
  readonly hash4?: HashLayout;
}

/** A hash as VM_HASH_* in layout.ts describes it; none of this changes while the map lives. */
export interface HashLayout {
  /** Offset of the buckets. */
  readonly buckets: number;
  /** Right shift that leaves a bucket's number of a hash. */
  readonly shift: number;
  readonly seed: number;
  /** Distance from an element to its value. */
  readonly valueOffset: number;
}

/**
 * Core exports that code which knows its map, and knows that key and value may be read, calls instead of the helpers:
 * nothing is checked. `map`, `key` and `value` are offsets (i32).
 */
export interface DirectCalls {
  /** `(map, key) -> i32`: offset of the value, 0 = none. */
  readonly lookup?: string;
  /** `(map, key, value, flags: i64) -> i32`: 0 or a negative errno. */
  readonly update?: string;
  /** `(map, key) -> i32`: 0 or a negative errno. */
  readonly delete?: string;
}

/**
 * How a helper or kfunc is reached.
 * - `core`: an export of the core module, `(r1..r5: u64) -> u64`, always five parameters; linked Wasm to Wasm.
 * - `js`: reads u64 arguments from the CPU block at CPU_ARGS, leaves r0 at CPU_RESULT; takes the CPU block's offset.
 *   It may allocate, and what it throws ends the run and reaches whoever started it.
 * `callsBack`: it runs functions of the program (CPU_FP is set for it); `js` ones by callBack(). `name` is unique among
 * what one program calls.
 */
export type HelperBinding =
  | { readonly kind: "core"; readonly name: string; readonly nargs: number; readonly callsBack?: boolean }
  | {
      readonly kind: "js";
      readonly name: string;
      readonly nargs: number;
      readonly callsBack?: boolean;
      readonly fn: (cpuBlock: number) => void;
    };

/**
 * Bits of VmProgram.facts.
 * - FACT_PROBE_READ, of a plain or sign-extending load: it goes through a BTF pointer (BPF_PROBE_MEM), which nothing
 *   checked. Where the shadow does not let it read, or the address is no pointer of this space, it reads zero; in
 *   both modes.
 * - FACT_BOUNDED, of a jump back: the verifier bounded the loop.
 */
export const FACT_PROBE_READ = 1;
export const FACT_BOUNDED = 2;

/** `checked`: every access is looked up in the shadow and a fault stops the program. `unchecked`: verified programs. */
export type AccessMode = "checked" | "unchecked";

const LOG2_BYTES = [2, 1, 0, 3];

/** What core/probe.ts takes for a load with this opcode. */
export function probeKind(op: number): number {
  return LOG2_BYTES[(op >> 3) & 3]! | ((op & 0xe0) === BPF_MEMSX ? PROBE_SIGNED : 0);
}

export interface VmProgram {
  readonly id: number;
  readonly name: string;
  /**
   * Instruction slots, 8 bytes each, little-endian. LD_IMM64 of maps, map values, BTF ids and variables is already
   * a plain 64-bit constant (src_reg 0); what remains is BPF_PSEUDO_FUNC, BPF_PSEUDO_CALL (imm = slots to the target,
   * relative to the next slot) and BPF_PSEUDO_KFUNC_CALL.
   */
  readonly insns: Uint8Array;
  readonly maps: readonly VmMap[];
  readonly mode: AccessMode;
  /** undefined: unknown, the engine refuses the program (InvalidProgramError names the instruction). */
  helper(id: number): HelperBinding | undefined;
  kfunc(btfId: number, off: number): HelperBinding | undefined;
  /** Per instruction slot: FACT_* that the verifier found. Absent: none. */
  readonly facts?: Uint8Array;
}

export interface LoadedProgram {
  /**
   * Runs on the current CPU with r1 = pointer to ctx. Returns the low 32 bits of r0 (signed, as Wasm gives an i32);
   * the whole r0 stands at CPU_RESULT. A fault of the checked mode throws ProgramFault.
   */
  run(ctx: number): number;
  /** Index in the shared function table (tail calls, callbacks by the kernel); 0 while none is assigned. */
  readonly tableIndex: number;
  dispose(): void;
}

export interface Engine {
  readonly name: "auto" | "jit" | "interp";
  load(program: VmProgram): LoadedProgram;
}

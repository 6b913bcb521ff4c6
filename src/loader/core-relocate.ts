/** Applies CO-RE records to a function's instructions (bpf_core_patch_insn of libbpf's relo_core.c). */
import {
  BPF_CORE_NAMES,
  type CoreCandidate,
  type CoreChoice,
  type CoreRelocation,
  type CoreResolver,
  type CoreValue,
} from "../btf/index.ts";
import { BtfError, LoadError } from "../diag/index.ts";
import { BPF_ALU, BPF_ALU64, BPF_LD, BPF_LDX, BPF_ST, BPF_STX, BPF_X } from "../uapi/index.ts";
import { INSN_SIZE } from "./sections.ts";
import type { FunctionSpec } from "./spec.ts";

const LD_IMM64 = 0x18;
const CALL = 0x85;
/** "bad relo": the helper number of an instruction that must not be reached. */
export const POISON_CORE = 0xbad2310;
/** BPF_SIZE bits by bytes. */
const SIZE_BITS: Readonly<Record<number, number>> = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 };
const SIZE_BYTES: Readonly<Record<number, number>> = { 16: 1, 8: 2, 0: 4, 24: 8 };

/** A record and the slot it changes, counted from the function's start. */
export interface FunctionCoreRelocation {
  readonly insn: number;
  readonly relocation: CoreRelocation;
}

/** A record that the target could not satisfy: its instruction must not be reached. */
export interface FailedRelocation {
  /** Slot from the function's start; in a LinkedProgram, from the program's. */
  readonly insn: number;
  /** `byte_off`, `enumval_value`...: libbpf's names. */
  readonly kind: string;
  readonly access: string;
  readonly candidates: readonly CoreCandidate[];
}

/** One line: what was asked for, what was looked at. */
export function describeFailure({ kind, access, candidates }: FailedRelocation): string {
  const looked =
    candidates.length === 0
      ? "the kernel has no type of that name"
      : candidates
          .map(({ type, reason }) => `${type}: ${reason ?? "its size cannot be loaded by this instruction"}`)
          .join("; ");
  return `CO-RE <${kind}> ${access} failed (${looked})`;
}

/** A function's code with every record applied, and the records that only poisoned it. */
export interface RelocatedCode {
  readonly code: Uint8Array;
  readonly failed: readonly FailedRelocation[];
}

export function relocateCore(
  fn: FunctionSpec,
  relocations: readonly FunctionCoreRelocation[],
  resolver: CoreResolver,
): RelocatedCode {
  const code = Uint8Array.from(fn.insns);
  const failed: FailedRelocation[] = [];
  const chosen: CoreChoice = new Map();
  for (const { insn, relocation } of relocations) {
    const fail = (what: string, cause?: unknown): LoadError =>
      new LoadError(
        `section ${fn.sectionName}, function '${fn.name}', insn ${insn}: CO-RE <${BPF_CORE_NAMES[relocation.kind] ?? relocation.kind}>: ${what}`,
        undefined,
        cause === undefined ? undefined : { cause },
      );
    let value: CoreValue;
    try {
      value = resolver.resolve(relocation, chosen);
    } catch (error) {
      if (error instanceof BtfError) throw fail(error.message, error);
      throw error;
    }
    if (patch(code, insn, value, fail)) {
      const kind = BPF_CORE_NAMES[relocation.kind]!;
      failed.push({ insn, kind, ...resolver.explain(relocation, chosen) });
    }
  }
  return { code, failed };
}

/** true: poisoned. */
function patch(code: Uint8Array, insn: number, core: CoreValue, fail: (what: string) => LoadError): boolean {
  const at = insn * INSN_SIZE;
  const view = new DataView(code.buffer);
  const opcode = code[at]!;
  const differs = (have: bigint): LoadError =>
    fail(`unexpected value ${have}, want ${core.original} (to become ${core.value})`);
  switch (opcode & 7) {
    case BPF_ALU:
    case BPF_ALU64: {
      if (opcode & BPF_X) break;
      if (core.poison) {
        poison(code, insn, 1);
        return true;
      }
      const imm = view.getInt32(at + 4, true);
      if (core.validate && BigInt.asUintN(64, BigInt(imm)) !== core.original) throw differs(BigInt(imm));
      view.setInt32(at + 4, Number(BigInt.asIntN(32, core.value)), true);
      return false;
    }
    case BPF_LDX:
    case BPF_ST:
    case BPF_STX: {
      if (core.poison) {
        poison(code, insn, 1);
        return true;
      }
      const off = view.getInt16(at + 2, true);
      if (core.validate && BigInt.asUintN(64, BigInt(off)) !== core.original) throw differs(BigInt(off));
      if (core.value > 32767n) throw fail(`offset ${core.value} is too big`);
      if (core.badSize) {
        poison(code, insn, 1);
        return true;
      }
      view.setInt16(at + 2, Number(core.value), true);
      if (core.size !== core.originalSize) {
        if (SIZE_BYTES[opcode & 0x18] !== core.originalSize)
          throw fail(`access of ${SIZE_BYTES[opcode & 0x18]} bytes, want ${core.originalSize}`);
        const bits = SIZE_BITS[core.size];
        if (bits === undefined) throw fail(`field of ${core.size} bytes`);
        code[at] = (opcode & ~0x18) | bits;
      }
      return false;
    }
    case BPF_LD: {
      if (opcode !== LD_IMM64 || at + 16 > code.length || code[at + 1]! >>> 4 !== 0) break;
      if (core.poison) {
        poison(code, insn, 2);
        return true;
      }
      const imm = (BigInt(view.getUint32(at + 12, true)) << 32n) | BigInt(view.getUint32(at + 4, true));
      if (core.validate && imm !== core.original) throw differs(imm);
      view.setInt32(at + 4, Number(BigInt.asIntN(32, core.value)), true);
      view.setInt32(at + 12, Number(BigInt.asIntN(32, core.value >> 32n)), true);
      return false;
    }
  }
  throw fail(`unrecognized instruction, code 0x${opcode.toString(16)}`);
}

function poison(code: Uint8Array, insn: number, slots: number): void {
  const view = new DataView(code.buffer);
  for (let i = 0; i < slots; i++) {
    const at = (insn + i) * INSN_SIZE;
    code.fill(0, at, at + INSN_SIZE);
    code[at] = CALL;
    view.setInt32(at + 4, POISON_CORE, true);
  }
}

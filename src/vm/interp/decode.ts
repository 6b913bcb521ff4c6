import { InvalidProgramError } from "../../diag/index.ts";
import * as bpf from "../../uapi/index.ts";
import { hex } from "../../util/index.ts";
import type { AddressSpace } from "../address-space.ts";
import { FACT_PROBE_READ, type HelperBinding, probeKind, type VmProgram } from "../engine.ts";
import * as op from "./layout.ts";

/** Where a program calls what it cannot hold itself. */
export interface Links {
  /** Index in the shared table of the trampoline that enters this program at `insn` (BPF_PSEUDO_FUNC). */
  callback(insn: number): number;
}

const R10 = 10;
const BPF_CALLX = bpf.BPF_JMP | bpf.BPF_CALL | bpf.BPF_X;
const LD_IMM64 = bpf.BPF_LD | bpf.BPF_IMM | bpf.BPF_DW;

const LOOP = 181;
const TAIL_CALL = 12;

const SIGNED_DIVISIONS: ReadonlyMap<number, number> = new Map([
  [bpf.BPF_ALU64 | bpf.BPF_DIV | bpf.BPF_K, op.OP_SDIV64_K],
  [bpf.BPF_ALU64 | bpf.BPF_DIV | bpf.BPF_X, op.OP_SDIV64_X],
  [bpf.BPF_ALU | bpf.BPF_DIV | bpf.BPF_K, op.OP_SDIV32_K],
  [bpf.BPF_ALU | bpf.BPF_DIV | bpf.BPF_X, op.OP_SDIV32_X],
  [bpf.BPF_ALU64 | bpf.BPF_MOD | bpf.BPF_K, op.OP_SMOD64_K],
  [bpf.BPF_ALU64 | bpf.BPF_MOD | bpf.BPF_X, op.OP_SMOD64_X],
  [bpf.BPF_ALU | bpf.BPF_MOD | bpf.BPF_K, op.OP_SMOD32_K],
  [bpf.BPF_ALU | bpf.BPF_MOD | bpf.BPF_X, op.OP_SMOD32_X],
]);

const SIGNED_MOVES: ReadonlyMap<number, number> = new Map([
  [(bpf.BPF_ALU64 << 8) | 8, op.OP_MOVSX64_8],
  [(bpf.BPF_ALU64 << 8) | 16, op.OP_MOVSX64_16],
  [(bpf.BPF_ALU64 << 8) | 32, op.OP_MOVSX64_32],
  [(bpf.BPF_ALU << 8) | 8, op.OP_MOVSX32_8],
  [(bpf.BPF_ALU << 8) | 16, op.OP_MOVSX32_16],
]);

/** Bytes by size field of LD_ABS and LD_IND; no 64-bit form. */
const PACKET_SIZES = [4, 2, 1, 0];

const ATOMICS: ReadonlySet<number> = new Set([
  ...[bpf.BPF_ADD, bpf.BPF_OR, bpf.BPF_AND, bpf.BPF_XOR].flatMap((o) => [o, o | bpf.BPF_FETCH]),
  bpf.BPF_XCHG,
  bpf.BPF_CMPXCHG,
]);

/** BPF_ADDR_SPACE_CAST of include/linux/filter.h: `off` of a 64-bit register move. */
const ADDR_SPACE_CAST = 1;

/** The operation that an arithmetic instruction is; undefined: none. */
function arithmetic(code: number, off: number, imm: number): number | undefined {
  const cls = code & 7;
  const wide = cls === bpf.BPF_ALU64;
  const fromRegister = (code & bpf.BPF_X) !== 0;
  const plain = (wide ? op.OP_ALU64 : op.OP_ALU32) + (code >> 3);
  switch (code & 0xf0) {
    case bpf.BPF_DIV:
    case bpf.BPF_MOD:
      return off === 0 ? plain : off === 1 ? SIGNED_DIVISIONS.get(code) : undefined;
    case bpf.BPF_NEG:
      return off === 0 && !fromRegister ? plain : undefined;
    case bpf.BPF_MOV:
      if (off === 0) return plain;
      if (!fromRegister) return undefined;
      // Arenas and the kernel share one address space here.
      if (wide && off === ADDR_SPACE_CAST) return plain;
      return SIGNED_MOVES.get((cls << 8) | off);
    case bpf.BPF_END:
      if (off !== 0 || (wide && fromRegister)) return undefined;
      if (wide || fromRegister)
        return imm === 16 ? op.OP_SWAP16 : imm === 32 ? op.OP_SWAP32 : imm === 64 ? op.OP_SWAP64 : undefined;
      return imm === 16 ? op.OP_ZEXT16 : imm === 32 ? op.OP_ZEXT32 : imm === 64 ? op.OP_NOP : undefined;
    default:
      return off === 0 && (code & 0xf0) < bpf.BPF_END ? plain : undefined;
  }
}

/** The operation that a load or store is in the unchecked mode; undefined: none. */
function access(code: number, imm: number): number | undefined {
  const size = (code & bpf.BPF_DW) >> 3;
  const cls = code & 7;
  switch (code & 0xe0) {
    case bpf.BPF_MEM:
      return size + (cls === bpf.BPF_LDX ? op.OP_LDX : cls === bpf.BPF_ST ? op.OP_ST : op.OP_STX);
    case bpf.BPF_MEMSX:
      return cls === bpf.BPF_LDX && size !== bpf.BPF_DW >> 3 ? op.OP_LDXSX + size : undefined;
    case bpf.BPF_ATOMIC:
      if (cls !== bpf.BPF_STX) return undefined;
      if (imm === bpf.BPF_LOAD_ACQ) return op.OP_LDX + size;
      if (imm === bpf.BPF_STORE_REL) return op.OP_STX + size;
      if (!ATOMICS.has(imm)) return undefined;
      return size === bpf.BPF_DW >> 3 ? op.OP_ATOMIC64 : size === bpf.BPF_W >> 3 ? op.OP_ATOMIC32 : undefined;
    default:
      return undefined;
  }
}

/** The operation of the bounds-checked mode for one of the unchecked mode. */
function withCheck(operation: number): number {
  if (operation === op.OP_ATOMIC32) return op.OP_ATOMIC32_CHECKED;
  if (operation === op.OP_ATOMIC64) return op.OP_ATOMIC64_CHECKED;
  return operation + op.OP_CHECKED;
}

/** Bytes that the records of a program of `slots` slots take. */
export function codeSize(slots: number): number {
  return (slots + 1) * op.INSN_SIZE;
}

/** The records of `program`; they may stand anywhere. Throws InvalidProgramError for what is no instruction. */
export function decodeProgram(space: AddressSpace, program: VmProgram, links: Links): Uint8Array {
  const { insns } = program;
  const slots = insns.length / 8;
  const from = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  // Bit 0: second half of an LD_IMM64.
  const second = new Uint8Array(slots + 1);
  for (let i = 0; i < slots; i++)
    if (insns[i * 8] === LD_IMM64) {
      if (i + 1 >= slots) throw new InvalidProgramError("LD_IMM64 lacks its second half", i);
      second[++i] = 1;
    }
  const records = new Uint8Array(codeSize(slots));
  const to = new DataView(records.buffer);
  const checked = program.mode === "checked";

  for (let i = 0; i < slots; i++) {
    const opcode = from.getUint8(i * 8);
    const regs = from.getUint8(i * 8 + 1);
    const dst = regs & 15;
    const src = regs >> 4;
    const off = from.getInt16(i * 8 + 2, true);
    const imm = from.getInt32(i * 8 + 4, true);
    const at = i * op.INSN_SIZE;

    const fail = (what: string): never => {
      throw new InvalidProgramError(what, i);
    };
    const unknown = (): never =>
      fail(`unknown instruction: code ${hex(opcode)}, src ${src}, off ${off}, imm ${imm}`);
    const target = (distance: number): number => {
      const goal = i + 1 + distance;
      if (goal < 0 || goal >= slots || second[goal])
        fail(`jump to ${goal}, which is no instruction (0..${slots - 1})`);
      return distance * op.INSN_SIZE;
    };
    const emit = (
      operation: number,
      offset: number = off,
      value: number = imm,
      register: number = src,
    ): void => {
      to.setUint16(at + op.INSN_OP, operation, true);
      to.setUint16(at + op.INSN_REAL, operation, true);
      to.setUint16(at + op.INSN_DST, dst * 8, true);
      to.setUint16(at + op.INSN_SRC, register * 8, true);
      to.setInt32(at + op.INSN_OFF, offset, true);
      to.setInt32(at + op.INSN_IMM, value, true);
    };
    const call = (binding: HelperBinding | undefined, what: string): void => {
      if (binding === undefined) fail(`${what} is unknown`);
      else if (binding.kind === "core") emit(op.OP_CALL_CORE, 0, space.coreFunction(binding.name));
      else emit(op.OP_CALL_JS, 0, space.jsFunction(binding.fn));
    };

    if (dst > R10 || (src > R10 && opcode !== LD_IMM64)) fail(`register r${dst > R10 ? dst : src}`);
    const cls = opcode & 7;
    if (dst === R10 && (cls === bpf.BPF_ALU || cls === bpf.BPF_ALU64 || cls === bpf.BPF_LDX))
      fail("frame pointer is read only");

    switch (cls) {
      case bpf.BPF_ALU:
      case bpf.BPF_ALU64:
        emit(arithmetic(opcode, off, imm) ?? unknown());
        break;
      case bpf.BPF_LDX:
      case bpf.BPF_ST:
      case bpf.BPF_STX: {
        const operation = access(opcode, imm) ?? unknown();
        if ((operation === op.OP_ATOMIC32 || operation === op.OP_ATOMIC64) && src === R10)
          if (imm & bpf.BPF_FETCH && imm !== bpf.BPF_CMPXCHG) fail("frame pointer is read only");
        if (cls === bpf.BPF_LDX && (program.facts?.[i] ?? 0) & FACT_PROBE_READ)
          emit(op.OP_PROBE, off, probeKind(opcode));
        else emit(checked ? withCheck(operation) : operation);
        break;
      }
      case bpf.BPF_LD: {
        if (opcode === LD_IMM64) {
          if (dst === R10) fail("frame pointer is read only");
          const rest = i + 1;
          if (from.getUint32(rest * 8, true) !== 0) fail("reserved fields of LD_IMM64 are used");
          if (src === 0) emit(op.OP_LD_IMM64, imm, from.getInt32(rest * 8 + 4, true), 0);
          else if (src === bpf.BPF_PSEUDO_FUNC) {
            const goal = i + 1 + imm;
            if (goal < 0 || goal >= slots || second[goal])
              fail(`callback at ${goal}, which is no instruction`);
            emit(op.OP_LD_IMM64, links.callback(goal), 0, 0);
          } else fail(`LD_IMM64 with unresolved pseudo source ${src}`);
          break;
        }
        const mode = opcode & 0xe0;
        const size = PACKET_SIZES[(opcode & bpf.BPF_DW) >> 3]!;
        if ((mode !== bpf.BPF_ABS && mode !== bpf.BPF_IND) || size === 0) unknown();
        emit(mode === bpf.BPF_ABS ? op.OP_LD_ABS : op.OP_LD_IND);
        to.setUint16(at + op.INSN_DST, size, true);
        break;
      }
      default: {
        const what = opcode & 0xf0;
        const plain = (cls === bpf.BPF_JMP ? op.OP_JMP64 : op.OP_JMP32) + (opcode >> 3);
        if (opcode === (bpf.BPF_JMP | bpf.BPF_EXIT)) emit(plain);
        else if (opcode === BPF_CALLX) emit(op.OP_CALLX);
        else if (opcode === (bpf.BPF_JMP | bpf.BPF_CALL)) {
          if (src === bpf.BPF_PSEUDO_CALL) emit(op.OP_CALL_LOCAL, target(imm), 0, 0);
          else if (src === bpf.BPF_PSEUDO_KFUNC_CALL)
            call(program.kfunc(imm, off), `kfunc with BTF id ${imm} (offset ${off})`);
          else if (src !== 0) unknown();
          else if (imm === TAIL_CALL) emit(op.OP_TAIL_CALL);
          else {
            const binding = program.helper(imm);
            if (imm === LOOP && binding?.kind === "core") emit(op.OP_CALL_LOOP);
            else call(binding, `helper ${imm}`);
          }
        } else if (what === bpf.BPF_JA) {
          if (opcode & bpf.BPF_X) unknown();
          emit(op.OP_JMP64 + (bpf.BPF_JA >> 3), target(cls === bpf.BPF_JMP32 ? imm : off));
        } else if (what === bpf.BPF_JCOND) {
          if (opcode !== (bpf.BPF_JMP | bpf.BPF_JCOND) || src !== 0) unknown();
          emit(plain, target(off));
        } else if (what === bpf.BPF_CALL || what === bpf.BPF_EXIT || what > bpf.BPF_JSLE) unknown();
        else emit(plain, target(off));
      }
    }
    if (second[i + 1]) {
      i++;
      none(to, i * op.INSN_SIZE);
    }
  }
  none(to, slots * op.INSN_SIZE);
  return records;
}

/** A record that no run may pass. */
function none(to: DataView, at: number): void {
  to.setUint16(at + op.INSN_OP, op.OP_NONE, true);
  to.setUint16(at + op.INSN_REAL, op.OP_NONE, true);
}

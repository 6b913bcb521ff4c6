/** A generated program as data: what a kernel and our verifier are given, and what a regression file holds. */
import { encode, type Insn } from "../../src/asm/index.ts";
import type { Backend } from "../../src/backend/index.ts";
import { ENOSPC } from "../../src/uapi/index.ts";
import type { VerifierInput } from "../../src/verifier/index.ts";
import { MAPS, type World } from "./world.ts";

export interface FuncAt {
  /** An instruction (not slot) index. */
  readonly insn: number;
  /** A name of World.funcs. */
  readonly name: string;
}

export interface FuzzProgram {
  readonly progType: number;
  readonly attachType: number;
  readonly flags: number;
  readonly license: string;
  /** Maps are named by their index where an fd belongs. */
  readonly insns: readonly Insn[];
  /** Empty: loaded without BTF. */
  readonly funcs: readonly FuncAt[];
}

const LD_IMM64 = 0x18;
const PROG_ARRAY = MAPS.findIndex((row) => row.name === "progs");

/** Slots before each instruction. */
function slotsOf(insns: readonly Insn[]): number[] {
  const at: number[] = [];
  let slot = 0;
  for (const insn of insns) {
    at.push(slot);
    slot += insn.op === LD_IMM64 ? 2 : 1;
  }
  return at;
}

function funcInfo(program: FuzzProgram, world: World): { insn: number; typeId: number }[] {
  const at = slotsOf(program.insns);
  return program.funcs.map((f) => ({ insn: at[f.insn]!, typeId: world.funcs[f.name]! }));
}

export function verifierInput(program: FuzzProgram, world: World): VerifierInput {
  const withBtf = program.funcs.length > 0;
  return {
    insns: encode(program.insns),
    maps: world.maps,
    progType: program.progType,
    expectedAttachType: program.attachType,
    progFlags: program.flags,
    license: program.license,
    name: "fuzz",
    btf: withBtf ? world.btf : null,
    funcInfo: withBtf ? funcInfo(program, world) : [],
    lineInfo: [],
    attach: null,
  };
}

export interface KernelVerdict {
  /** 0: accepted. */
  readonly errno: number;
  readonly log: string;
}

/** A program array takes after the first program that uses it: each program gets a new one. */
function freshProgArray(program: FuzzProgram, world: World, backend: Backend): number {
  const uses = program.insns.some(
    (insn) => insn.op === LD_IMM64 && insn.src === 1 && insn.imm === PROG_ARRAY,
  );
  if (!uses) return -1;
  const row = world.maps[PROG_ARRAY]!;
  return backend.mapCreate({
    map_type: row.type,
    key_size: row.keySize,
    value_size: row.valueSize,
    max_entries: row.maxEntries,
  });
}

/** Loads the program and unloads it at once. */
export function loadOnKernel(program: FuzzProgram, world: World, backend: Backend, level = 1): KernelVerdict {
  const array = freshProgArray(program, world, backend);
  const fdOf = (map: number): number => (map === PROG_ARRAY && array >= 0 ? array : (world.fds[map] ?? -1));
  const insns = encode(
    program.insns.map((insn) =>
      insn.op === LD_IMM64 && (insn.src === 1 || insn.src === 2)
        ? { ...insn, imm: fdOf(insn.imm), imm64: mapImm(insn, fdOf(insn.imm)) }
        : insn,
    ),
  );
  const info = funcInfo(program, world);
  const records = new Uint32Array(info.flatMap((f) => [f.insn, f.typeId]));
  const attr = {
    prog_type: program.progType,
    expected_attach_type: program.attachType,
    prog_flags: program.flags,
    license: program.license,
    insns,
    log_level: level,
    ...(info.length === 0
      ? {}
      : {
          prog_btf_fd: world.btfFd,
          func_info: new Uint8Array(records.buffer),
          func_info_rec_size: 8,
        }),
  };
  let { fd, log } = backend.progLoad({ ...attr, log_size: 1 << 20 });
  // A log that does not fit is an error of its own: then the verdict alone counts.
  if (fd === -ENOSPC) ({ fd, log } = backend.progLoad({ ...attr, log_level: 0, log_size: 0 }));
  if (fd >= 0) backend.close(fd);
  if (array >= 0) backend.close(array);
  return { errno: fd < 0 ? -fd : 0, log };
}

/** The fd in the low half, the offset in the high half. */
function mapImm(insn: Insn, fd: number): bigint {
  return ((insn.imm64 ?? 0n) & ~0xffff_ffffn) | BigInt(fd >>> 0);
}

/** A generated program as data: what a kernel and our verifier are given, and what a regression file holds. */
import { encode, type Insn } from "../../src/asm/index.ts";
import type { Backend } from "../../src/backend/index.ts";
import {
  BPF_MAP_TYPE_CPUMAP,
  BPF_MAP_TYPE_DEVMAP,
  BPF_MAP_TYPE_PROG_ARRAY,
  ENOSPC,
} from "../../src/uapi/index.ts";
import type { VerifierInput } from "../../src/verifier/index.ts";
import type { World } from "./world.ts";

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
const HOLDS_PROGRAMS: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE_PROG_ARRAY,
  BPF_MAP_TYPE_DEVMAP,
  BPF_MAP_TYPE_CPUMAP,
]);

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

/** Maps that may hold programs take after the first one that uses them: each program gets new ones. Map index -> fd. */
function freshMaps(program: FuzzProgram, world: World, backend: Backend): Map<number, number> {
  const fresh = new Map<number, number>();
  for (const { op, src, imm } of program.insns) {
    const row = op === LD_IMM64 && src === 1 ? world.maps[imm] : undefined;
    if (row === undefined || fresh.has(imm) || !HOLDS_PROGRAMS.has(row.type)) continue;
    const fd = backend.mapCreate({
      map_type: row.type,
      key_size: row.keySize,
      value_size: row.valueSize,
      max_entries: row.maxEntries,
    });
    if (fd >= 0) fresh.set(imm, fd);
  }
  return fresh;
}

/** Loads the program and unloads it at once. */
export function loadOnKernel(program: FuzzProgram, world: World, backend: Backend, level = 1): KernelVerdict {
  const fresh = freshMaps(program, world, backend);
  const fdOf = (map: number): number => fresh.get(map) ?? world.fds[map] ?? -1;
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
  for (const map of fresh.values()) backend.close(map);
  return { errno: fd < 0 ? -fd : 0, log };
}

/** The fd in the low half, the offset in the high half. */
function mapImm(insn: Insn, fd: number): bigint {
  return ((insn.imm64 ?? 0n) & ~0xffff_ffffn) | BigInt(fd >>> 0);
}

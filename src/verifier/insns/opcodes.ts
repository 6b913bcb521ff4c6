/** Opcodes that a kernel knows: bpf_opcode_in_insntable(). */
import {
  BPF_ABS,
  BPF_ALU,
  BPF_ALU64,
  BPF_ARSH,
  BPF_ATOMIC,
  BPF_B,
  BPF_CALL,
  BPF_DW,
  BPF_END,
  BPF_EXIT,
  BPF_H,
  BPF_IMM,
  BPF_IND,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_JSLE,
  BPF_K,
  BPF_LD,
  BPF_LDX,
  BPF_MEM,
  BPF_MEMSX,
  BPF_NEG,
  BPF_ST,
  BPF_STX,
  BPF_W,
  BPF_X,
} from "../../uapi/index.ts";
import type { Profile } from "../profile.ts";

const SIZES = [BPF_B, BPF_H, BPF_W, BPF_DW] as const;
const SMALL = [BPF_B, BPF_H, BPF_W] as const;

function table(rules: ReadonlySet<string>): Uint8Array {
  const known = new Uint8Array(256);
  const add = (...parts: number[]): void => {
    known[parts.reduce((a, b) => a | b, 0)] = 1;
  };
  for (let op = 0; op <= BPF_ARSH; op += 0x10)
    for (const cls of [BPF_ALU, BPF_ALU64]) {
      add(cls, op, BPF_K);
      if (op !== BPF_NEG) add(cls, op, BPF_X);
    }
  add(BPF_ALU, BPF_END, BPF_K);
  add(BPF_ALU, BPF_END, BPF_X);
  add(BPF_JMP, BPF_JA);
  add(BPF_JMP, BPF_CALL);
  add(BPF_JMP, BPF_EXIT);
  for (let op = 0x10; op <= BPF_JSLE; op += 0x10)
    if (op !== BPF_CALL && op !== BPF_EXIT)
      for (const cls of [BPF_JMP, BPF_JMP32]) {
        add(cls, op, BPF_K);
        add(cls, op, BPF_X);
      }
  for (const size of SIZES) {
    add(BPF_STX, BPF_MEM, size);
    add(BPF_ST, BPF_MEM, size);
    add(BPF_LDX, BPF_MEM, size);
  }
  add(BPF_STX, BPF_ATOMIC, BPF_W);
  add(BPF_STX, BPF_ATOMIC, BPF_DW);
  add(BPF_LD, BPF_IMM, BPF_DW);
  for (const size of SMALL) {
    add(BPF_LD, BPF_ABS, size);
    add(BPF_LD, BPF_IND, size);
  }
  if (!rules.has("no-isa-v4")) {
    add(BPF_ALU64, BPF_END, BPF_K);
    add(BPF_JMP32, BPF_JA);
    for (const size of SMALL) add(BPF_LDX, BPF_MEMSX, size);
  }
  if (!rules.has("no-may-goto")) add(BPF_JMP, BPF_JCOND);
  if (rules.has("load-acquire-store-release")) {
    add(BPF_STX, BPF_ATOMIC, BPF_B);
    add(BPF_STX, BPF_ATOMIC, BPF_H);
  }
  return known;
}

const tables = new WeakMap<Profile, Uint8Array>();

export function opcodeExists(profile: Profile, op: number): boolean {
  let known = tables.get(profile);
  if (known === undefined) tables.set(profile, (known = table(profile.rules)));
  return known[op] === 1;
}

// eBPF instructions: one table, and everything that reads it.
export * from "./build.ts";
export * from "./classic/index.ts";
export {
  decode,
  decodeSlots,
  encode,
  type Insn,
  imm64At,
  isLdImm64,
  SLOT_SIZE,
  type Slots,
} from "./codec.ts";

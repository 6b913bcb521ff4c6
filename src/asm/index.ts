// eBPF instructions: one table, and everything that reads it.

export { type Assembled, type AssembleOptions, assemble, type Resolved } from "./assemble.ts";
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
export {
  type DisassembleOptions,
  disassemble,
  type KernelNames,
  kernelInsnText,
} from "./disassemble.ts";
export { type ObjdumpSection, type ObjdumpSymbol, objdump } from "./objdump.ts";
export { type ValidateOptions, validate } from "./validate.ts";

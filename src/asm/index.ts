/**
 * eBPF instructions: one table, and everything that reads it.
 *
 *   table.ts      the rows: opcode, rules of each field, texts of the three dialects
 *   template.ts   texts with `{fields}`; read-insn.ts follows them as a tree, disassemble.ts prints them
 *   rows.ts       the rules as ranges: which row a slot is an instance of
 *   codec.ts      bytes, columns, objects; build.ts makes instructions from parts
 *   validate.ts   rules of one instruction and of the flow between them
 *   assemble.ts   statements (lex.ts), expressions, directives, labels
 *   objdump.ts    whole objects as llvm-objdump prints them
 *   classic/      classic BPF
 */

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
export { rowAt } from "./rows.ts";
export { type FieldRule, INSN_ROWS, type InsnKind, type InsnRow } from "./table.ts";
export { type ValidateOptions, validate } from "./validate.ts";

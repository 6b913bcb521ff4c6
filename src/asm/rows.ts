/** Which row of the table an instruction is. */
import { isLdImm64, type Slots } from "./codec.ts";
import { INSN_ROWS, type InsnRow } from "./table.ts";
import { allows } from "./template.ts";

const byOp: readonly (readonly InsnRow[])[] = Array.from({ length: 256 }, (_, op) =>
  INSN_ROWS.filter((row) => row.op === op),
);

/** The rows that share an opcode, in table order; empty for an unknown one. */
export function rowsOf(op: number): readonly InsnRow[] {
  return byOp[op] ?? [];
}

/** Whether slot `i` satisfies every rule of `row`, but for what a program may write: r10 counts as a register. */
function fits(row: InsnRow, s: Slots, i: number): boolean {
  const reg = (rule: InsnRow["dst"], value: number): boolean => allows(rule === "out" ? "reg" : rule, value);
  if (!reg(row.dst, s.dst[i]!) || !reg(row.src, s.src[i]!)) return false;
  if (!allows(row.off, s.off[i]!) || !allows(row.imm, s.imm[i]!)) return false;
  if (!isLdImm64(row.op)) return true;
  const second = i + 1 < s.count && !(s.op[i + 1]! | s.dst[i + 1]! | s.src[i + 1]! | s.off[i + 1]!);
  return second && allows(row.hi ?? 0, s.imm[i + 1]!);
}

/** The row that slot `i` is a proper instance of; undefined for an unknown opcode or a reserved field in use. */
export function rowAt(s: Slots, i: number): InsnRow | undefined {
  for (const row of byOp[s.op[i]!]!) if (fits(row, s, i)) return row;
  return undefined;
}

/** Instances of every row of the table: fields at the ends of what their rules allow. */
import { type FieldRule, INSN_ROWS, type Insn, type InsnRow } from "../../src/asm/index.ts";

function values(rule: FieldRule, free: readonly number[]): readonly number[] {
  if (rule === "any") return free;
  if (rule === "ignored") return [0];
  if (rule === "reg") return [0, 5, 10];
  if (rule === "out") return [0, 9];
  return typeof rule === "number" ? [rule] : rule;
}

function longest(...lists: readonly (readonly number[])[]): number {
  return Math.max(...lists.map((list) => list.length));
}

/** A handful of instructions for each row, each field going through its values. */
export function sampleInsns(rows: readonly InsnRow[] = INSN_ROWS): { row: InsnRow; insn: Insn }[] {
  return rows.flatMap((row) => {
    const dst = values(row.dst, []);
    const src = values(row.src, []);
    const off = values(row.off, [0, 1, -1, 0x7fff, -0x8000]);
    const imm = values(row.imm, [0, 1, -1, 0x7fffffff, -0x80000000]);
    const hi = values(row.hi ?? 0, [0, 1, -1, 0x7fffffff, -0x80000000]);
    const at = (list: readonly number[], n: number): number => list[n % list.length]!;
    return Array.from({ length: longest(dst, src, off, imm, hi) }, (_, n) => {
      const insn = { op: row.op, dst: at(dst, n), src: at(src, n), off: at(off, n), imm: at(imm, n) };
      if (row.hi === undefined) return { row, insn };
      const imm64 = (BigInt(at(hi, n) >>> 0) << 32n) | BigInt(insn.imm >>> 0);
      return { row, insn: { ...insn, imm64 } };
    });
  });
}

/** Which row of the table an instruction is: the table's rules as ranges of numbers, opcode by opcode. */
import { isLdImm64, type Slots } from "./codec.ts";
import { type FieldRule, INSN_ROWS, type InsnRow } from "./table.ts";

const byOp: readonly (readonly InsnRow[])[] = Array.from({ length: 256 }, (_, op) =>
  INSN_ROWS.filter((row) => row.op === op),
);

/** The rows that share an opcode, in table order; empty for an unknown one. */
export function rowsOf(op: number): readonly InsnRow[] {
  return byOp[op] ?? [];
}

const MIN = -0x80000000;
const MAX = 0x7fffffff;

/** A register that is written may be r10 here: that is a value's rule, and dead code may break it. */
function ranges(rule: FieldRule): readonly (readonly [number, number])[] {
  if (rule === "any" || rule === "ignored") return [[MIN, MAX]];
  if (rule === "reg" || rule === "out") return [[0, 10]];
  return typeof rule === "number" ? [[rule, rule]] : rule.map((v) => [v, v]);
}

function flatten(row: InsnRow): number[][] {
  const fields = [row.dst, row.src, row.off, row.imm, row.hi ?? "ignored"];
  return fields.reduce<number[][]>(
    (all, rule) => all.flatMap((list) => ranges(rule).map((range) => [...list, ...range])),
    [[]],
  );
}

const flat = byOp.map((rows) => rows.flatMap((row) => flatten(row).map((list) => ({ row, list }))));

/** Numbers a range: lowest and highest dst, src, off, imm, hi. A rule that lists values makes several ranges. */
export const WIDTH = 10;
/** Every row's ranges; those of an opcode are FROM[op] up to FROM[op + 1]. */
export const RANGES: Int32Array = Int32Array.from(flat.flat().flatMap((f) => f.list));
/** The row of each range. */
export const ROWS: readonly InsnRow[] = flat.flat().map((f) => f.row);
export const FROM: Uint16Array = new Uint16Array(257);
flat.forEach((list, op) => {
  FROM[op + 1] = FROM[op]! + list.length;
});

/** The row that slot `i` is a proper instance of; undefined for an unknown opcode or a reserved field in use. */
export function rowAt(s: Slots, i: number): InsnRow | undefined {
  const op = s.op[i]!;
  const j = i + 1;
  const wide = isLdImm64(op);
  if (wide && (j >= s.count || s.op[j]! | s.dst[j]! | s.src[j]! | s.off[j]!)) return undefined;
  const values = [s.dst[i]!, s.src[i]!, s.off[i]!, s.imm[i]!, wide ? s.imm[j]! : 0];
  for (let n = FROM[op]!; n < FROM[op + 1]!; n++) {
    let field = 0;
    while (
      field < 5 &&
      values[field]! >= RANGES[n * WIDTH + 2 * field]! &&
      values[field]! <= RANGES[n * WIDTH + 2 * field + 1]!
    )
      field++;
    if (field === 5) return ROWS[n];
  }
  return undefined;
}

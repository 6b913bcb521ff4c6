/** Classic programs by fast-check: every opcode, operands near the interesting ones, nearly all of them valid. */
import fc from "fast-check";
import { CLASSIC_CODES, SKF_AD_OFF, SKF_LL_OFF, SKF_NET_OFF } from "../../src/asm/classic/insn.ts";
import type { ClassicInsn } from "../../src/asm/index.ts";

const small = fc.integer({ min: 0, max: 70 });
export const constants: fc.Arbitrary<number> = fc.oneof(
  small,
  small,
  fc.constantFrom(0xffffffff, 0x80000000, 0x7fffffff, SKF_NET_OFF, SKF_LL_OFF + 3, SKF_AD_OFF + 40, 31, 32),
  fc.integer({ min: 0, max: 0xffffffff }),
);
const row = fc.tuple(fc.constantFrom(...CLASSIC_CODES.keys()), fc.nat(4), fc.nat(4), constants);

/** Jumps end inside, scratch words exist and are stored first, nothing divides by the constant 0. */
function repair(rows: readonly [number, number, number, number][]): ClassicInsn[] {
  const stored = Array.from({ length: 16 }, (_, k): ClassicInsn => ({ code: 0x02, jt: 0, jf: 0, k }));
  const body = rows.map(([code, jt, jf, k], i): ClassicInsn => {
    const left = rows.length - i - 1;
    return { code, jt: Math.min(jt, left), jf: Math.min(jf, left), k: operand(code, k, left) };
  });
  return [...stored, ...body, { code: 0x16, jt: 0, jf: 0, k: 0 }];
}

function operand(code: number, k: number, left: number): number {
  const form = CLASSIC_CODES.get(code)!;
  switch (form.kind) {
    case "ja":
      return k % (left + 1);
    case "load-mem":
    case "store":
      return k % 16;
    case "alu":
      if (form.source === "x") return k;
      if (form.mnemonic === "div" || form.mnemonic === "mod") return k || 1;
      return form.mnemonic === "lsh" || form.mnemonic === "rsh" ? k % 32 : k;
    default:
      return k;
  }
}

export const programs: fc.Arbitrary<ClassicInsn[]> = fc
  .array(row, { minLength: 1, maxLength: 24 })
  .map(repair);

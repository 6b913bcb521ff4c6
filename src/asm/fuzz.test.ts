import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AsmError } from "../diag/index.ts";
import { assemble } from "./assemble.ts";
import { decode, decodeSlots, encode } from "./codec.ts";
import { disassemble, kernelInsnText } from "./disassemble.ts";
import { objdump } from "./objdump.ts";
import { INSN_ROWS } from "./table.ts";
import { validate } from "./validate.ts";

const RUNS = Number(process.env["TSBPF_FUZZ"] ?? 300);

/** Slots whose opcodes, and often whose other fields, are those of real instructions. */
const slot = fc
  .tuple(
    fc.constantFrom(...INSN_ROWS),
    fc.integer({ min: 0, max: 255 }),
    fc.integer({ min: -3, max: 3 }),
    fc.oneof(fc.constantFrom(0, 1, 16, 0x40, 0xe1, 0xf1, 0x100, 1 << 16, -1, -0x80000000), fc.integer()),
    fc.integer({ min: 0, max: 31 }),
  )
  .map(([row, regs, off, imm, keep]) => {
    const pick = (bit: number, rule: unknown, value: number): number =>
      keep & bit && typeof rule === "number" ? rule : value;
    const dst = pick(1, row.dst, regs & 15);
    const src = pick(2, row.src, regs >> 4);
    return [row.op, dst, src, pick(4, row.off, off), pick(8, row.imm, imm)] as const;
  });

const program = fc.oneof(
  fc.uint8Array({ maxLength: 128 }),
  fc.array(slot, { maxLength: 12 }).map((list) => {
    const bytes = new Uint8Array(list.length * 8);
    const view = new DataView(bytes.buffer);
    list.forEach(([op, dst, src, off, imm], i) => {
      bytes[i * 8] = op;
      bytes[i * 8 + 1] = dst | (src << 4);
      view.setInt16(i * 8 + 2, off, true);
      view.setInt32(i * 8 + 4, imm, true);
    });
    return bytes;
  }),
);

/** The result, or undefined for an AsmError; anything else fails the test. */
function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (e) {
    if (e instanceof AsmError) return undefined;
    throw e;
  }
}

const WORDS = [
  ..."r0 r1 r10 r11 r12 w0 w3 %r1 0 1 -1 0x7fffffff 0xffffffffffffffff 99999999999999999999999 1b 1f 1: l: l".split(
    " ",
  ),
  ..."= += -= s>>= <<= / * ( ) [ ] , ; : # + - ~ ! | & << >> { } @ \" ' ` \\ % %= %[x] u8 u16 u32 u64 s8 skb".split(
    " ",
  ),
  ..."if goto gotol may_goto gotox call callx exit ll lock atomic_fetch_add xchg_64 cmpxchg32_32 be16 bswap64".split(
    " ",
  ),
  ..."addr_space_cast load_acquire store_release ld_pseudo pc kfunc local map fd idx subprog mov ldxw lddw jeq".split(
    " ",
  ),
  ...".byte .8byte .rept .endr .fill .zero .p2align .section .popsection .set .text .ascii (b7) (18) (85) (c3) 3:".split(
    " ",
  ),
  "\n",
  "/*",
  "*/",
  "*(u32 *)(",
  "r1 = 0",
];

describe("fuzz", () => {
  it("any bytes disassemble, and assemble to themselves", () => {
    fc.assert(
      fc.property(program, (bytes) => {
        const errors = validate(bytes, { rules: "kernel", limit: 5 });
        expect(errors.length).toBeLessThanOrEqual(5);
        const slots = attempt(() => decodeSlots(bytes));
        if (!slots) {
          expect(bytes.length % 8).not.toBe(0);
          return;
        }
        for (let i = 0; i < slots.count; i++) expect(kernelInsnText(slots, i)).not.toBe("");
        for (const dialect of ["llvm", "kernel"] as const)
          expect(assemble(disassemble(bytes, { dialect }), { dialect }).bytes).toEqual(bytes);
        const insns = attempt(() => decode(bytes));
        if (insns) expect(encode(insns)).toEqual(bytes);
      }),
      { numRuns: RUNS, seed: 1 },
    );
  });

  it("any section prints as objdump would", () => {
    const symbol = fc.record({
      name: fc.string({ maxLength: 3 }),
      value: fc.integer({ min: 0, max: 150 }),
      type: fc.constantFrom(0, 1, 2, 5),
    });
    fc.assert(
      fc.property(program, fc.array(symbol, { maxLength: 5 }), (bytes, symbols) => {
        const text = objdump({ fileName: "f", sections: [{ name: "s", bytes, symbols }] });
        expect(text.startsWith("\nf:\tfile format elf64-bpf\n")).toBe(true);
        if (bytes.length > 0) expect(text).toContain("Disassembly of section s:");
      }),
      { numRuns: RUNS, seed: 3 },
    );
  });

  it("mutated programs' texts assemble or are refused", () => {
    const edit = fc.tuple(
      fc.nat(),
      fc.nat({ max: 4 }),
      fc.oneof(fc.constantFrom(...WORDS), fc.string({ maxLength: 3 })),
    );
    fc.assert(
      fc.property(
        program,
        fc.array(edit, { minLength: 1, maxLength: 4 }),
        fc.constantFrom("llvm" as const, "kernel" as const),
        (bytes, edits, dialect) => {
          let text = attempt(() => disassemble(bytes, { dialect })) ?? "";
          for (const [at, drop, insert] of edits) {
            const p = at % (text.length + 1);
            text = text.slice(0, p) + insert + text.slice(p + drop);
          }
          const out = attempt(() => assemble(text, { dialect }));
          if (out && out.bytes.length % 8 === 0)
            expect(assemble(disassemble(out.bytes)).bytes).toEqual(out.bytes);
        },
      ),
      { numRuns: RUNS, seed: 4 },
    );
  });

  it("any text assembles or is refused with its line", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ maxLength: 80 }),
          fc.array(fc.constantFrom(...WORDS), { maxLength: 14 }).map((words) => words.join(" ")),
        ),
        fc.constantFrom("llvm" as const, "kernel" as const, "mnemonic" as const),
        (text, dialect) => {
          try {
            assemble(text, { dialect });
          } catch (e) {
            expect(e).toBeInstanceOf(AsmError);
            expect((e as AsmError).line).toBeGreaterThan(0);
          }
        },
      ),
      { numRuns: RUNS * 4, seed: 2 },
    );
  });
});

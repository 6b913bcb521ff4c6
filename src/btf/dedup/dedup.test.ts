import { describe, expect, test } from "vitest";
import {
  BTF_KIND_CONST,
  BTF_KIND_ENUM,
  BTF_KIND_FWD,
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  BTF_KIND_TYPEDEF,
  BTF_KIND_VAR,
  type Btf,
  BtfBuilder,
  btfRawText,
  dedupBtf,
  type NewBtfType,
} from "../index.ts";

/**
 * A small notation, one type a line, ids counting from 1:
 *   int NAME | ptr ID | const ID | typedef NAME ID | fwd NAME | struct NAME ID... | enum NAME VALUE... | var NAME ID
 */
function types(text: string): NewBtfType[] {
  return text
    .trim()
    .split("\n")
    .map((line): NewBtfType => {
      const [kind, name = "", ...rest] = line.trim().split(/ +/);
      const id = Number(rest[0]);
      switch (kind) {
        case "int":
          return { kind: BTF_KIND_INT, name, size: 4, encoding: 0, bitOffset: 0, bits: 32 };
        case "ptr":
          return { kind: BTF_KIND_PTR, name: "", type: Number(name) };
        case "const":
          return { kind: BTF_KIND_CONST, name: "", type: Number(name) };
        case "typedef":
          return { kind: BTF_KIND_TYPEDEF, name, type: id };
        case "fwd":
          return { kind: BTF_KIND_FWD, name, union: false };
        case "var":
          return { kind: BTF_KIND_VAR, name, type: id, linkage: 1 };
        case "enum":
          return {
            kind: BTF_KIND_ENUM,
            name,
            size: 4,
            signed: false,
            values: rest.map((v, i) => ({ name: v, value: i })),
          };
        default:
          return {
            kind: BTF_KIND_STRUCT,
            name,
            size: rest.length * 8,
            members: rest.map((m, i) => ({ name: `m${i}`, type: Number(m), bitOffset: i * 64, bitSize: 0 })),
          };
      }
    });
}

function build(text: string, base?: Btf): Btf {
  const builder = new BtfBuilder(base);
  for (const type of types(text)) builder.add(type);
  return builder.toBtf();
}

function names(btf: Btf): string[] {
  return Array.from({ length: btf.typeCount - btf.startId }, (_, i) =>
    btfRawText(btf, btf.startId + i).replace(/\[\d+\] (\w+) '([^']*)'.*/s, "$1 $2"),
  );
}

const CASES: readonly { name: string; input: string; kept: string[]; ids: number[] }[] = [
  {
    name: "equal ints and pointers",
    input: "int a\nptr 1\nint a\nptr 3\nint b",
    kept: ["INT a", "PTR (anon)", "INT b"],
    ids: [0, 1, 2, 1, 2, 3],
  },
  {
    name: "structs that point to themselves",
    input: "ptr 2\nstruct s 1\nptr 4\nstruct s 3",
    kept: ["PTR (anon)", "STRUCT s"],
    ids: [0, 1, 2, 1, 2],
  },
  {
    name: "mutually recursive structs, in another order",
    input: "ptr 4\nptr 3\nstruct a 1\nstruct b 2\nstruct b 7\nptr 5\nptr 8\nstruct a 6",
    kept: ["PTR (anon)", "PTR (anon)", "STRUCT a", "STRUCT b"],
    ids: [0, 1, 2, 3, 4, 4, 1, 2, 3],
  },
  {
    name: "a forward declaration within equal graphs means the struct",
    input: "fwd x\nptr 1\nstruct s 2\nint i\nstruct x 4\nptr 5\nstruct s 6",
    kept: ["PTR (anon)", "STRUCT s", "INT i", "STRUCT x"],
    ids: [0, 4, 1, 2, 3, 4, 1, 2],
  },
  {
    name: "a forward declaration alone means the only struct of that name",
    input: "fwd x\nptr 1\nint i\nstruct x 3",
    kept: ["PTR (anon)", "INT i", "STRUCT x"],
    ids: [0, 3, 1, 2, 3],
  },
  {
    name: "with two structs of the name it stays",
    input: "fwd x\nptr 1\nint i\nstruct x 3\nstruct x 3 3",
    kept: ["FWD x", "PTR (anon)", "INT i", "STRUCT x", "STRUCT x"],
    ids: [0, 1, 2, 3, 4, 5],
  },
  {
    name: "structs whose members differ far below",
    input: "int i\nptr 1\nstruct s 2\nint j\nptr 4\nstruct s 5",
    kept: ["INT i", "PTR (anon)", "STRUCT s", "INT j", "PTR (anon)", "STRUCT s"],
    ids: [0, 1, 2, 3, 4, 5, 6],
  },
  {
    name: "an enum's forward declaration",
    input: "enum e\nptr 1\nenum e A B",
    kept: ["PTR (anon)", "ENUM e"],
    ids: [0, 2, 1, 2],
  },
  {
    name: "variables stay apart",
    input: "int i\nvar v 1\nint i\nvar v 3",
    kept: ["INT i", "VAR v", "VAR v"],
    ids: [0, 1, 2, 1, 3],
  },
];

describe("dedupBtf", () => {
  test.each(CASES)("$name", ({ input, kept, ids }) => {
    const result = dedupBtf(build(input));
    expect(names(result.btf)).toEqual(kept);
    expect([...result.ids]).toEqual(ids);
    expect(names(dedupBtf(result.btf).btf)).toEqual(kept);
  });

  test("split BTF loses what its base has", () => {
    const base = build("int i\nptr 1\nstruct s 2");
    const { btf, ids } = dedupBtf(build("int i\nptr 4\nstruct s 5\nstruct t 6\nptr 7", base));
    expect(names(btf)).toEqual(["STRUCT t", "PTR (anon)"]);
    expect([...ids].slice(4)).toEqual([1, 2, 3, 4, 5]);
    expect(btf.type(4)).toMatchObject({ members: [{ type: 3 }] });
  });

  test("a base that only declares the struct is not changed", () => {
    const base = build("fwd x\nptr 1\nstruct s 2");
    const { btf } = dedupBtf(build("int i\nstruct x 4\nptr 5\nstruct s 6", base));
    expect(names(btf)).toEqual(["INT i", "STRUCT x", "PTR (anon)", "STRUCT s"]);
  });

  test("a chain as long as a kernel's needs no stack", () => {
    const builder = new BtfBuilder();
    for (let copy = 0; copy < 2; copy++) {
      for (let i = 0; i < 20_000; i++) {
        const pointer = builder.add({ kind: BTF_KIND_PTR, name: "", type: builder.nextId + 3 });
        const members = [{ name: "next", type: pointer, bitOffset: 0, bitSize: 0 }];
        builder.add({ kind: BTF_KIND_STRUCT, name: `s${i}`, size: 8, members });
      }
      builder.add({ kind: BTF_KIND_PTR, name: "", type: 0 });
      builder.add({ kind: BTF_KIND_TYPEDEF, name: "end", type: 0 });
    }
    const { btf } = dedupBtf(builder.toBtf());
    expect(btf.typeCount - 1).toBe(40_002);
  });

  test("graphs that would take hours to compare are refused", () => {
    const builder = new BtfBuilder();
    for (let copy = 0; copy < 2; copy++) {
      for (let i = 0; i < 6000; i++) {
        // Each struct looks at the whole rest of the chain of pointers.
        const pointer = builder.add({ kind: BTF_KIND_PTR, name: "", type: builder.nextId + 2 });
        const members = [{ name: "next", type: pointer, bitOffset: 0, bitSize: 0 }];
        builder.add({ kind: BTF_KIND_STRUCT, name: `s${i}`, size: 8, members });
      }
      builder.add({ kind: BTF_KIND_PTR, name: "", type: 0 });
    }
    expect(() => dedupBtf(builder.toBtf())).toThrow(/absurdly long.*type id \d+/);
  });

  test.each([
    ["typedefs in a circle", "typedef a 2\ntypedef b 1", /refers to itself.*type id/],
    ["a type beyond the end", "ptr 7", /refers to type 7.*type id 1/],
  ])("%s: an error", (_, input, message) => {
    expect(() => dedupBtf(build(input))).toThrow(message);
  });
});

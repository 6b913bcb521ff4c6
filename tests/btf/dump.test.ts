import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  BTF_KIND_INT,
  BTF_KIND_PTR,
  BTF_KIND_STRUCT,
  BtfBuilder,
  BtfDumper,
  parseBtf,
} from "../../src/btf/index.ts";
import { parseElf } from "../../src/elf/index.ts";
import { compareDump, DUMP_FORMATS, readBtf } from "../../tools/parity-btf.ts";
import { compileC } from "../support/compile.ts";
import { CORPUS_NEEDS, selftests } from "../support/corpus.ts";
import { want } from "../support/need.ts";

const compiler = want("clang-19");

/** Definitions that go through clang and come back as they were. */
const ROUND_TRIPS: readonly string[] = [
  "struct s {\n\tint a;\n\tchar b;\n\tlong: 0;\n\tchar c;\n};",
  "struct s {\n\tint a: 3;\n\tint b: 5;\n\tchar: 4;\n\tint c: 4;\n\tlong d;\n};",
  "struct s {\n\tchar a;\n\tint b;\n} __attribute__((packed));",
  "struct s {\n\tstruct s *next;\n\tint (*call)(struct s *, ...);\n\tconst int * const *words[3][4];\n};",
  "struct s {\n\tunion {\n\t\tint a;\n\t\tlong b;\n\t};\n\tenum {\n\t\tNO = 0,\n\t\tYES = 1,\n\t} answer;\n};",
  "struct s {\n\tvoid (* (*handler)(int))(void);\n\tint (*table[2])[5];\n};",
  "struct s {\n\tvolatile long x;\n\tfloat f;\n\t_Bool flag;\n};",
];

describe.skipIf(compiler.skip)(compiler.title("types as C"), () => {
  it.each(ROUND_TRIPS)("%s", (source) => {
    const btf = parseBtf(parseElf(compileC(`${source}\nstruct s variable;`)).section(".BTF")!.data);
    expect(new BtfDumper(btf).type(btf.findByName("s", BTF_KIND_STRUCT)!)).toBe(`${source}\n\n`);
  });

  it("types of one name are numbered, and a pointer needs no definition", () => {
    const builder = new BtfBuilder();
    builder.add({ kind: BTF_KIND_INT, name: "int", size: 4, encoding: 1, bitOffset: 0, bits: 32 });
    const member = { name: "m", type: 1, bitOffset: 0, bitSize: 0 };
    builder.add({ kind: BTF_KIND_STRUCT, name: "s", size: 4, members: [member] });
    builder.add({ kind: BTF_KIND_STRUCT, name: "s", size: 8, members: [{ ...member, type: 4 }] });
    builder.add({ kind: BTF_KIND_PTR, name: "", type: 2 });
    const dumper = new BtfDumper(builder.toBtf());
    expect(dumper.type(3)).toBe("struct s;\n\nstruct s___2 {\n\tstruct s *m;\n};\n\n");
    expect(dumper.type(2)).toBe("struct s {\n\tint m;\n};\n\n");
    expect(dumper.declaration(4, "p")).toBe("struct s *p");
  });

  it.each([
    ["a struct that contains itself", 8, 1, /contains itself.*type id 1/],
    ["padding without end", 0xffffffff, 0, /absurdly much C/],
  ])("%s: refused", (_, size, type, message) => {
    const builder = new BtfBuilder();
    const members = type === 0 ? [] : [{ name: "m", type, bitOffset: 0, bitSize: 0 }];
    builder.add({ kind: BTF_KIND_STRUCT, name: "s", size, members });
    expect(() => new BtfDumper(builder.toBtf()).type(1)).toThrow(message);
  });
});

const w = want(...CORPUS_NEEDS);

describe.skipIf(w.skip)(w.title("dumps of the 6.12 selftests and of vmlinux, beside bpftool's"), () => {
  it("are the same line by line", async () => {
    const corpus = await selftests();
    const paths = corpus.objects.filter((_, i) => i % 25 === 0).map((name) => join(corpus.dir, name));
    for (const path of [...paths, "/sys/kernel/btf/vmlinux"]) {
      const btf = readBtf(path);
      if (btf === undefined) continue;
      for (const format of DUMP_FORMATS.filter((name) => name !== "pretty" || path.endsWith(".o")))
        expect([path, format, compareDump(path, btf, format).difference]).toEqual([path, format, undefined]);
    }
  }, 1_200_000);
});

import { describe, expect, test } from "vitest";
import { LoadError } from "../diag/index.ts";
import { R_BPF_64_32, R_BPF_64_64, writeElf } from "../elf/index.ts";
import { BpfObject } from "./object.ts";

const exit = [0x95, 0, 0, 0, 0, 0, 0, 0];
const mov = [0xb7, 0, 0, 0, 1, 0, 0, 0];
const call = [0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff];
const ldImm64 = [0x18, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

interface Case {
  readonly code: readonly number[];
  readonly offset?: number;
  readonly symbol?: {
    readonly name?: string;
    readonly type?: number;
    readonly section?: string | number;
    readonly value?: number;
  };
}

/** One program `prog` in section `xdp`, one relocation. */
function object({ code, offset = 0, symbol = {} }: Case): Uint8Array {
  const data = Uint8Array.from(code);
  return writeElf({
    sections: [
      {
        name: "xdp",
        type: 1,
        flags: 6,
        data,
        relocations: [{ offset, type: code === call ? R_BPF_64_32 : R_BPF_64_64, symbol: 1 }],
      },
      { name: ".text", type: 1, flags: 6, data: Uint8Array.from([...mov, ...exit]) },
      { name: ".data", type: 1, flags: 3, data: new Uint8Array(8) },
      { name: "other", type: 1, flags: 3, data: new Uint8Array(8) },
    ],
    symbols: [
      { name: "prog", bind: 1, type: 2, section: "xdp", size: data.length },
      {
        name: symbol.name ?? "target",
        bind: 1,
        type: symbol.type ?? 1,
        section: symbol.section ?? ".data",
        value: symbol.value ?? 0,
      },
      { name: "sub", bind: 1, type: 2, section: ".text", size: 16 },
    ],
  });
}

describe("relocations that make no sense", () => {
  const cases: [string, Case, string][] = [
    [
      "of another instruction",
      { code: [...mov, ...exit] },
      "section xdp, function 'prog', insn 0: invalid relocation against 'target' of an instruction with code 0xb7",
    ],
    [
      "outside the section",
      { code: [...mov, ...exit], offset: 64 },
      "section xdp: invalid offset 0x40 for a relocation",
    ],
    [
      "between instructions",
      { code: [...mov, ...exit], offset: 4 },
      "section xdp: invalid offset 0x4 for a relocation",
    ],
    [
      "of a cut LD_IMM64",
      { code: [...mov, ...ldImm64.slice(0, 8)], offset: 8 },
      "insn 1: LD_IMM64 is truncated",
    ],
    [
      "against a section that is no map",
      { code: [...ldImm64, ...exit], symbol: { section: "other" } },
      "insn 0: bad map relocation against 'target' in section 'other'",
    ],
    [
      "against a common symbol",
      { code: [...ldImm64, ...exit], symbol: { section: 0xfff2 } },
      "insn 0: invalid relocation against 'target' in special section 0xfff2",
    ],
    ["a call of data", { code: [...call, ...exit] }, "insn 0: bad call of 'target' in section '.data'"],
    [
      "a call of a helper number",
      { code: [0x85, 0, 0, 0, 1, 0, 0, 0, ...exit], symbol: { section: ".text", type: 0 } },
      "insn 0: incorrect bpf_call opcode",
    ],
    [
      "a call between instructions",
      { code: [...call, ...exit], symbol: { section: ".text", value: 4 } },
      "insn 0: bad call of 'target' at offset 4",
    ],
  ];
  test.each(cases)("%s", (_name, input, message) => {
    expect(() => BpfObject.open(object(input))).toThrow(LoadError);
    expect(() => BpfObject.open(object(input))).toThrow(message);
  });

  test("a call beyond every function is refused when the program is linked", () => {
    const opened = BpfObject.open(
      object({ code: [...call, ...exit], symbol: { section: ".text", type: 0, value: 160 } }),
    );
    expect(() => opened.link("prog")).toThrow("insn 0: no function at insn 20 of section .text");
  });

  test("an undeclared extern needs BTF", () => {
    expect(() =>
      BpfObject.open(object({ code: [...call, ...exit], symbol: { section: 0, type: 0 } })),
    ).toThrow("extern 'target': the object has no BTF that describes it");
  });
});

import { describe, expect, it } from "vitest";
import { WasmBytes } from "./bytes.ts";
import { WasmModule } from "./module.ts";
import { I32, I64, OP_END, OP_I64_CONST, OP_I64_STORE, OP_LOCAL_GET } from "./opcodes.ts";

function slebOf(value: bigint): number[] {
  const out: number[] = [];
  for (let rest = value; ; ) {
    const byte = Number(rest & 0x7fn);
    rest >>= 7n;
    const last = (rest === 0n && !(byte & 0x40)) || (rest === -1n && (byte & 0x40) !== 0);
    out.push(last ? byte : byte | 0x80);
    if (last) return out;
  }
}

const interesting: bigint[] = [0n, 1n, -1n];
for (let bit = 5n; bit < 64n; bit++)
  for (const d of [-1n, 0n, 1n])
    interesting.push(BigInt.asIntN(64, (1n << bit) + d), BigInt.asIntN(64, -(1n << bit) + d));

describe("encodings", () => {
  it.each(interesting)("signed LEB128 of %d", (value) => {
    const out = new WasmBytes(1);
    out.s64(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
    expect([...out.view()]).toEqual(slebOf(value));
    const small = BigInt.asIntN(32, value);
    const out32 = new WasmBytes(1);
    out32.s32(Number(small));
    expect([...out32.view()]).toEqual(slebOf(small));
  });

  it.each([
    [0, [0]],
    [127, [127]],
    [128, [0x80, 1]],
    [0xffffffff, [0xff, 0xff, 0xff, 0xff, 0x0f]],
  ])("unsigned LEB128 of %d", (value, bytes) => {
    const out = new WasmBytes(1);
    out.u32(value);
    expect([...out.view()]).toEqual(bytes);
  });
});

describe("module", () => {
  it("links memory, table, globals and exports", () => {
    const module = new WasmModule();
    module.importMemory("memory", 1, 2);
    module.importTable("table");
    const type = module.type([I32], []);
    expect(module.type([I32], [])).toBe(type);
    expect(module.type([I32], [I64])).not.toBe(type);
    const f = module.declare(type);
    const code = new WasmBytes();
    code.u8(OP_LOCAL_GET);
    code.u32(0);
    code.u8(OP_I64_CONST);
    code.s64(0x89abcdef, 0x01234567);
    code.u8(OP_I64_STORE);
    code.u32(0);
    code.u32(8);
    code.u8(OP_END);
    module.define(f, [I64, I64, I32], code);
    module.exportFunction("f", f);
    module.element(1, [f]);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2 });
    const table = new WebAssembly.Table({ element: "anyfunc", initial: 4 });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), {
      env: { memory, table },
    });
    (instance.exports["f"] as (at: number) => void)(16);
    expect(new DataView(memory.buffer).getBigUint64(24, true)).toBe(0x0123456789abcdefn);
    expect(table.get(1)).toBe(instance.exports["f"]);
    expect(table.get(0)).toBe(null);
  });
});

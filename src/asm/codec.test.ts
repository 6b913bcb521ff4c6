import { describe, expect, it } from "vitest";
import { AsmError } from "../diag/index.ts";
import { BPF_ADD, BPF_DW, BPF_FETCH, BPF_JSGT, BPF_W } from "../uapi/index.ts";
import * as b from "./build.ts";
import { decode, decodeSlots, encode, imm64At } from "./codec.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));

describe("codec", () => {
  it.each([
    ["r1 = -1", b.mov64Imm(1, -1), "b7010000ffffffff"],
    ["u32 immediates wrap", b.mov64Imm(1, 0xffffffff), "b7010000ffffffff"],
    ["r0 = *(u32 *)(r1 + 4)", b.ldxMem(BPF_W, 0, 1, 4), "6110040000000000"],
    ["*(u64 *)(r10 - 8) = r2", b.stxMem(BPF_DW, 10, 2, -8), "7b2af8ff00000000"],
    ["fetch add", b.atomic(BPF_DW, BPF_ADD | BPF_FETCH, 1, 2, 8), "db21080001000000"],
    ["if w1 s> 3 goto -2", b.jmp32Imm(BPF_JSGT, 1, 3, -2), "6601feff03000000"],
    ["64 bits", b.ldImm64(3, 0x1122334455667788n), "18030000887766550000000044332211"],
    ["map value", b.ldMapValue(1, 5, 16), "18210000050000000000000010000000"],
    ["addr_space_cast", b.addrSpaceCast(1, 2, 0, 1), "bf21010001000000"],
    ["kfunc", b.callKfunc(1234, 1), "85200100d2040000"],
    ["gotox", b.jax(3), "0d03000000000000"],
  ])("%s", (_, insn, bytes) => {
    expect(hex(encode([insn]))).toBe(bytes);
    expect(hex(encode(decode(unhex(bytes))))).toBe(bytes);
  });

  it("decodes columns", () => {
    const s = decodeSlots(encode([b.ldImm64(3, -2n), b.ldxMem(BPF_W, 4, 5, -6), b.exit()]));
    expect(s.count).toBe(4);
    expect(imm64At(s, 0)).toBe(0xfffffffffffffffen);
    expect([s.op[2], s.dst[2], s.src[2], s.off[2], s.imm[1]]).toEqual([0x61, 4, 5, -6, -1]);
  });

  it.each([
    ["a piece of a slot", () => decodeSlots(new Uint8Array(9)), /9 bytes/],
    ["half an LD_IMM64", () => decode(encode([b.ldImm64(0, 1)]).subarray(0, 8)), /insn 0: .*second slot/],
    ["a dirty second half", () => decode(unhex("18000000010000000001000002000000")), /more than/],
    ["offset range", () => encode([b.ja(0x8000)]), /off 32768 is outside/],
    ["imm range", () => encode([b.exit(), b.mov64Imm(0, 2 ** 32)]), /insn 1: imm 4294967296/],
    ["imm64 range", () => encode([{ ...b.raw(0x18), imm64: 1n << 64n }]), /does not fit 64 bits/],
  ])("refuses %s", (_, run, message) => {
    expect(run).toThrow(AsmError);
    expect(run).toThrow(message);
  });
});

// Random control flow, reducible and not, against the reference interpreter; and what V8 and wabt say of the modules.
import { describe, expect, it } from "vitest";
import wabt from "wabt";
import { runReference } from "../../../tests/support/bpf-reference.ts";
import * as asm from "../../asm/index.ts";
import * as uapi from "../../uapi/index.ts";
import { AddressSpace } from "../address-space.ts";
import type { AccessMode, VmProgram } from "../engine.ts";
import { CPU_RESULT, CPU_STACK_TOP, POINTER_HIGH } from "../layout.ts";
import { createJit, translate } from "./jit.ts";
import { decodeProgram } from "./program.ts";

const space = new AddressSpace({ maxBytes: 16 << 20 });
const engine = createJit(space);
const ctx = space.alloc(64, "rw");

function random(seed: number): (n: number) => number {
  let state = seed * 2654435761 + 1;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/**
 * Blocks that mix r0 and r6..r9 and the stack, joined by random jumps, any to any; r5 counts blocks and ends the run.
 */
function generate(seed: number, blocks: number, work: number): Uint8Array {
  const next = random(seed);
  const bodies: asm.Insn[][] = [];
  const regs = [0, 6, 7, 8, 9];
  const reg = (): number => regs[next(regs.length)];
  for (let b = 0; b < blocks; b++) {
    const body: asm.Insn[] = [asm.alu64Imm(uapi.BPF_SUB, 5, 1)];
    for (let k = next(work); k >= 0; k--)
      switch (next(8)) {
        case 0:
          body.push(asm.alu64Reg(uapi.BPF_ADD, reg(), reg()));
          break;
        case 1:
          body.push(asm.alu32Imm(uapi.BPF_XOR, reg(), next(1 << 30)));
          break;
        case 2:
          body.push(asm.stxMem(uapi.BPF_DW, 10, reg(), -8 * (1 + next(4))));
          break;
        case 3:
          body.push(asm.ldxMem(uapi.BPF_DW, reg(), 10, -8 * (1 + next(4))));
          break;
        case 4:
          body.push(asm.mov32Reg(reg(), reg()));
          break;
        case 5:
          body.push(asm.alu64Imm(uapi.BPF_RSH, reg(), next(64)));
          break;
        case 6:
          body.push(asm.mov64Imm(reg(), next(5)));
          break;
        default:
          body.push(asm.alu64Imm(uapi.BPF_MUL, reg(), 0x9e3779b1 | 0));
      }
    bodies.push(body);
  }
  // Each block ends with "if r5 == 0 goto end" and a jump, or a condition and a jump.
  const plan = bodies.map(() => ({
    one: next(blocks),
    two: next(blocks),
    conditional: next(4) > 0,
    code: [uapi.BPF_JGT, uapi.BPF_JSLT, uapi.BPF_JSET, uapi.BPF_JNE][next(4)],
    dst: reg(),
    src: reg(),
  }));
  const setup: asm.Insn[] = [asm.mov64Imm(5, 300)];
  for (const r of regs) setup.push(asm.mov64Imm(r, r * 77 + 1));
  for (let k = 1; k <= 4; k++) setup.push(asm.stxMem(uapi.BPF_DW, 10, regs[k], -8 * k));
  const starts: number[] = [];
  let at = setup.length;
  for (const body of bodies) {
    starts.push(at);
    at += body.length + 3;
  }
  const end = at;
  const out = [...setup];
  bodies.forEach((body, b) => {
    out.push(...body);
    const p = plan[b];
    const rel = (to: number): number => to - (out.length + 1);
    out.push(asm.jmpImm(uapi.BPF_JEQ, 5, 0, rel(end)));
    out.push(
      p.conditional ? asm.jmpReg(p.code, p.dst, p.src, rel(starts[p.one])) : asm.alu64Reg(uapi.BPF_XOR, 0, 5),
    );
    out.push(asm.ja(rel(starts[p.two])));
  });
  for (const r of [6, 7, 8, 9]) out.push(asm.alu64Imm(uapi.BPF_LSH, 0, 7), asm.alu64Reg(uapi.BPF_XOR, 0, r));
  out.push(asm.raw(0x95));
  return asm.encode(out);
}

function program(insns: Uint8Array, mode: AccessMode): VmProgram {
  const none = (): undefined => undefined;
  return { id: 1, name: "flow", insns, maps: [], mode, helper: none, kfunc: none };
}

function expectSame(insns: Uint8Array): void {
  const top = space.dv.getUint32(space.cpu.value + CPU_STACK_TOP, true);
  const memory = new DataView(new ArrayBuffer(1024));
  const want = runReference(insns, memory, (BigInt(POINTER_HIGH) << 32n) | BigInt(ctx), 512n).r0;
  expect(top).toBeGreaterThan(0);
  for (const mode of ["checked", "unchecked"] as const) {
    const loaded = engine.load(program(insns, mode));
    loaded.run(ctx);
    expect(space.dv.getBigUint64(space.cpu.value + CPU_RESULT, true)).toBe(want);
    loaded.dispose();
  }
}

describe("random control flow", () => {
  it.each([2, 3, 5, 8, 13, 30, 80])("%d blocks", (blocks) => {
    for (let seed = 0; seed < (blocks < 10 ? 60 : 15); seed++)
      expectSame(generate(seed * 100 + blocks, blocks, 6));
  });

  it("a function above the size of one part", () => {
    for (let seed = 1; seed < 4; seed++) expectSame(generate(seed, 700, 25));
  });

  it("a straight line above the size of one part", () => {
    const insns = [asm.mov64Imm(0, 1), asm.mov64Imm(6, 3)];
    for (let k = 0; k < 12_000; k++)
      insns.push(k % 3 ? asm.alu64Imm(uapi.BPF_MUL, 0, 3 + k) : asm.alu64Reg(uapi.BPF_ADD, 0, 6));
    insns.push(asm.raw(0x95));
    expectSame(asm.encode(insns));
  });
});

describe("modules", () => {
  it("pass WebAssembly.validate and wabt", async () => {
    const { readWasm } = await wabt();
    for (let seed = 0; seed < 6; seed++)
      for (const mode of ["checked", "unchecked"] as const) {
        const source = program(generate(seed, 4 + seed * 5, 8), mode);
        const { bytes } = translate(space, source, decodeProgram(source, 3000), 2000);
        expect(WebAssembly.validate(bytes)).toBe(true);
        const module = readWasm(bytes, {});
        module.validate();
        module.destroy();
      }
  });
});

describe("hostile graphs", () => {
  it.each([
    ["a ladder of crossing loops", (k: number, n: number) => [Math.max(0, k - 2), Math.min(n - 1, k + 3)]],
    ["everything jumps to the middle", (_: number, n: number) => [n >> 1, (n >> 1) + 1]],
    ["nested loops", (k: number, n: number) => [n - 1 - k, k + 1]],
  ] as const)("%s compiles in time", (_, edge) => {
    const n = 4000;
    const insns: asm.Insn[] = [asm.ldxMem(uapi.BPF_W, 2, 1, 0), asm.mov64Imm(0, 0)];
    for (let k = 0; k < n; k++) {
      const [a] = edge(k, n);
      const to = 2 + 2 * a;
      insns.push(asm.alu64Imm(uapi.BPF_ADD, 0, 1));
      insns.push(asm.jmpImm(uapi.BPF_JEQ, 2, k + 1, to - (insns.length + 1)));
    }
    insns.push(asm.raw(0x95));
    const source = program(asm.encode(insns), "checked");
    const from = performance.now();
    const loaded = engine.load(source);
    expect(performance.now() - from).toBeLessThan(5000);
    space.dv.setUint32(ctx, 0, true);
    expect(loaded.run(ctx)).toBe(n);
    loaded.dispose();
  });
});

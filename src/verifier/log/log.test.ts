import { describe, expect, test } from "vitest";
import { decodeSlots } from "../../asm/index.ts";
import { Env } from "../env.ts";
import type { VerifierInput } from "../input.ts";
import { findProfile } from "../profiles.ts";
import { initFuncState } from "../state/frame.ts";
import { RegState } from "../state/reg.ts";
import { markConstScalar, markUnknown } from "../state/reg-ops.ts";
import {
  PTR_MAYBE_NULL,
  PTR_TO_CTX,
  PTR_TO_MAP_VALUE,
  PTR_TO_PACKET,
  PTR_TO_STACK,
  SCALAR_VALUE,
} from "../state/reg-type.ts";
import { StackSlot } from "../state/state.ts";
import { findLineInfo, printInsn, printVerifierState, verboseLineInfo } from "./log.ts";
import { LogBuffer } from "./log-buffer.ts";
import { regText } from "./reg-text.ts";

const map = { name: "m", keySize: 4, valueSize: 8 } as never;

function scalar(change: (r: RegState) => void = () => {}): RegState {
  const r = new RegState();
  r.type = SCALAR_VALUE;
  [r.maskLo, r.maskHi] = [-1, -1];
  [r.sminLo, r.sminHi, r.smaxLo, r.smaxHi] = [0, -0x80000000, -1, 0x7fffffff];
  [r.uminLo, r.uminHi, r.umaxLo, r.umaxHi] = [0, 0, -1, -1];
  [r.s32Min, r.s32Max, r.u32Min, r.u32Max] = [-0x80000000, 0x7fffffff, 0, -1];
  change(r);
  return r;
}
function pointer(type: number, change: (r: RegState) => void = () => {}): RegState {
  const r = new RegState();
  r.type = type;
  change(r);
  return r;
}

describe("registers", () => {
  const cases: readonly [string, RegState, string][] = [
    ["unknown", scalar(), "scalar()"],
    ["constant", scalar((r) => Object.assign(r, { maskLo: 0, maskHi: 0, valueLo: -2, valueHi: -1 })), "-2"],
    ["large constant", scalar((r) => Object.assign(r, { maskLo: 0, maskHi: 0, valueLo: 0xeb9f })), "0xeb9f"],
    [
      "a byte",
      scalar((r) =>
        Object.assign(r, {
          maskLo: 255,
          maskHi: 0,
          sminLo: 0,
          sminHi: 0,
          smaxLo: 255,
          smaxHi: 0,
          umaxLo: 255,
          umaxHi: 0,
          s32Min: 0,
          s32Max: 255,
          u32Max: 255,
        }),
      ),
      "scalar(smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))",
    ],
    ["null checked", scalar((r) => Object.assign(r, { uminLo: 1 })), "scalar(umin=1)"],
    ["linked", scalar((r) => Object.assign(r, { id: 3 })), "scalar(id=3)"],
    [
      "linked at a distance",
      scalar((r) => Object.assign(r, { id: 3 | (1 << 31), off: -4 })),
      "scalar(id=3-4)",
    ],
    ["frame pointer", pointer(PTR_TO_STACK, (r) => Object.assign(r, { off: -16 })), "fp-16"],
    ["another frame's", pointer(PTR_TO_STACK, (r) => Object.assign(r, { off: -16, frameno: 1 })), "fp[1]-16"],
    ["context", pointer(PTR_TO_CTX), "ctx()"],
    [
      "map value",
      pointer(PTR_TO_MAP_VALUE | PTR_MAYBE_NULL, (r) => Object.assign(r, { id: 1, map })),
      "map_value_or_null(id=1,map=m,ks=4,vs=8)",
    ],
    ["packet", pointer(PTR_TO_PACKET, (r) => Object.assign(r, { off: 14, range: 34 })), "pkt(off=14,r=34)"],
  ];
  test.each(cases)("%s", (_, reg, text) => expect(regText(reg, 0, false)).toBe(text));
  test("precise scalars say so", () => expect(regText(scalar(), 0, true)).toBe("Pscalar()"));
});

function env(level: number, kernel = "6.18"): Env {
  // r1 = 7; exit
  const insns = new Uint8Array([0xb7, 1, 0, 0, 7, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
  const lineInfo = [
    { insn: 0, file: "dir/x.c", line: 3, column: 1, text: "\tint x = 7;" },
    { insn: 1, file: "dir/x.c", line: 3, column: 9, text: "\tint x = 7;" },
  ];
  const input = { lineInfo, moduleBtfs: [] } as unknown as VerifierInput;
  const e = new Env(input, {}, findProfile(kernel)!, null, new LogBuffer(level), decodeSlots(insns), []);
  e.state.frames = [initFuncState(e, -1, 0, 0)];
  return e;
}

describe("states and instructions", () => {
  test("a state in full, then what one instruction changed behind its text", () => {
    const e = env(2);
    e.log.write("0:");
    printVerifierState(e, e.state, 0, true);
    printInsn(e);
    markConstScalar(e.frame.own(1), 7, 0);
    e.scratchedRegs = 2;
    e.insnIdx = 1;
    printInsn(e);
    expect(e.log.text()).toBe(
      "0: R10=fp0\n; int x = 7; @ x.c:3\n0: (b7) r1 = 7                        ; R1=7\n1: (95) exit\n",
    );
  });

  test("stack slots: a spill, a narrow spill, miscellaneous bytes", () => {
    const e = env(1);
    const r = new RegState();
    markUnknown(r);
    e.frame.stack.push(
      new StackSlot(0x11111111, r),
      new StackSlot(0x11112222, r),
      new StackSlot(0x33330002, r),
    );
    e.frame.setSlotPrecise(0, true);
    printVerifierState(e, e.state, 0, true);
    expect(e.log.text()).toBe(" R10=fp0 fp-8=Pscalar() fp-16=mmmmscalar() fp-24=m???0000\n");
  });

  test("6.12 marks what was written, 6.18 does not", () => {
    const e = env(1, "6.12");
    e.frame.written = 1 << 10;
    printVerifierState(e, e.state, 0, true);
    expect(e.log.text()).toBe(" R10_w=fp0\n");
  });

  test("source lines: found by slot, said once", () => {
    const e = env(1);
    expect(findLineInfo(e.input.lineInfo, 1)?.column).toBe(9);
    expect(findLineInfo([], 1)).toBeNull();
    verboseLineInfo(e, 0, "; ");
    verboseLineInfo(e, 1, "; ");
    expect(e.log.text()).toBe("; int x = 7; @ x.c:3\n");
  });
});

describe("the buffer", () => {
  test("cuts back to a position, across pieces", () => {
    const log = new LogBuffer(1);
    log.write("abc");
    log.write("def");
    const p = log.position - 1;
    log.write("ghi");
    log.reset(p);
    log.write("!");
    expect(log.text()).toBe("abcde!");
    expect(log.position).toBe(6);
  });
  test("keeps the tail when full, and survives a reset into what is gone", () => {
    const log = new LogBuffer(1, 4);
    for (let i = 0; i < 100; i++) log.write(`${i % 10}`);
    expect(log.text()).toBe("6789");
    log.reset(3);
    log.write("x");
    expect(log.text()).toBe("x");
    expect(log.position).toBe(4);
  });
  test("level 0 keeps nothing", () => {
    const log = new LogBuffer(0);
    log.write("x");
    expect(log.text()).toBe("");
  });
});

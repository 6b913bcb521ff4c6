import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { constants, programs } from "../../../tests/classic/random-programs.ts";
import { runModel } from "../../../tests/support/ebpf-model.ts";
import { AsmError, UnsupportedError } from "../../diag/index.ts";
import { decodeClassic, encodeClassic, formatDdd, parseDdd } from "./codec.ts";
import { disassembleClassic } from "./disassemble.ts";
import { ANCILLARY, CLASSIC_CODES, type ClassicInsn, SKF_AD_OFF, SKF_LL_OFF, SKF_NET_OFF } from "./insn.ts";
import { runClassic } from "./machine.ts";
import { type ClassicSemantics, classicToEbpf } from "./translate.ts";
import { validateClassic } from "./validate.ts";

const insn = (code: number, k = 0, jt = 0, jf = 0): ClassicInsn => ({ code, jt, jf, k: k >>> 0 });
const ld = (k: number): ClassicInsn => insn(0x20, k);
const ldh = (k: number): ClassicInsn => insn(0x28, k);
const ldb = (k: number): ClassicInsn => insn(0x30, k);
const ldbInd = (k: number): ClassicInsn => insn(0x50, k);
const ldImm = (k: number): ClassicInsn => insn(0x00, k);
const ldxImm = (k: number): ClassicInsn => insn(0x01, k);
const retA = insn(0x16);
const ret = (k: number): ClassicInsn => insn(0x06, k);

describe("text and bytes", () => {
  const ip = "4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n";
  it("reads what tcpdump -ddd prints, and writes it again", () => {
    const insns = parseDdd(ip);
    expect(insns).toEqual([insn(40, 12), insn(21, 2048, 0, 1), insn(6, 262144), insn(6, 0)]);
    expect(formatDdd(insns)).toBe(ip);
    expect(parseDdd("4,40 0 0 12,21 0 1 2048,6 0 0 262144,6 0 0 0,\n")).toEqual(insns);
    expect(parseDdd(ip.replaceAll("\n", "\r\n"))).toEqual(insns);
  });
  it.each([
    ["", /no classic BPF/],
    ["reading from file\n4\n", /line 1: expected the number of instructions, got "reading from file"/],
    ["2\n6 0 0 0\n", /line 1: the first line promises 2 instructions, 1 follow/],
    ["1\n6 0 0\n", /line 2: expected `code jt jf k`/],
    ["1\n6 0 0 -1\n", /line 2: expected/],
    ["1\n6 0 256 0\n", /line 2: a field of "6 0 256 0" is out of range/],
    ["1\n6 0 0 0\n6 0 0 0\n", /line 3: .* follows the last of 1 instructions/],
    ["5000\n", /1 to 4096 instructions, got 5000/],
    ["0\n", /1 to 4096/],
  ])("refuses %j", (text, message) => {
    expect(() => parseDdd(text)).toThrow(message);
    expect(() => parseDdd(text)).toThrow(AsmError);
  });
  it("keeps both byte orders", () => {
    const insns = parseDdd(ip);
    expect(Buffer.from(encodeClassic(insns).subarray(8, 16)).toString("hex")).toBe("1500000100080000");
    expect(Buffer.from(encodeClassic(insns, "big").subarray(8, 16)).toString("hex")).toBe("0015000100000800");
    for (const order of ["little", "big"] as const)
      expect(decodeClassic(encodeClassic(insns, order), order)).toEqual(insns);
    expect(() => decodeClassic(new Uint8Array(12))).toThrow(/8-byte instructions, got 12 bytes/);
  });
});

describe("validateClassic", () => {
  const anc = (n: number): number => SKF_AD_OFF + n;
  it.each<[string, ClassicInsn[], RegExp | undefined]>([
    ["ret", [ret(0)], undefined],
    ["empty", [], /1 to 4096/],
    ["unknown opcode", [insn(0x99), ret(0)], /insn 0: unknown opcode 0x99/],
    ["JLT is not classic", [insn(0xa5, 0), ret(0)], /unknown opcode/],
    ["division by zero", [insn(0x34, 0), ret(0)], /insn 0: div by zero/],
    ["modulo by zero", [insn(0x94, 0), ret(0)], /mod by zero/],
    ["shift", [insn(0x64, 32), ret(0)], /lsh by 32/],
    ["scratch index", [insn(0x02, 16), ret(0)], /M\[16\] is out of range/],
    ["ja too far", [insn(0x05, 1), ret(0)], /jump to 2/],
    ["ja wraps", [insn(0x05, 0xffffffff), ret(0)], /jump to/],
    ["jt too far", [insn(0x15, 0, 1, 0), ret(0)], /jump to 2/],
    ["no ret", [ldImm(1)], /insn 0: the last instruction must be ret/],
    ["ancillary", [ld(anc(60)), ret(0)], undefined],
    ["unknown ancillary", [ld(anc(64)), ret(0)], /unknown ancillary offset 64/],
    ["odd ancillary", [ldb(anc(1)), ret(0)], /unknown ancillary offset 1/],
    ["network offset", [ld(SKF_NET_OFF), ret(0)], undefined],
    ["scratch not stored", [insn(0x60, 3), ret(0)], /insn 0: M\[3\] is loaded/],
    ["scratch stored", [insn(0x02, 3), insn(0x60, 3), ret(0)], undefined],
    ["stored on one path", [insn(0x15, 0, 0, 1), insn(0x02, 3), insn(0x60, 3), ret(0)], /insn 2: M\[3\]/],
    [
      "stored on both paths",
      [insn(0x15, 0, 0, 2), insn(0x02, 3), insn(0x05, 1), insn(0x02, 3), insn(0x60, 3), ret(0)],
      undefined,
    ],
  ])("%s", (_, insns, message) => {
    const errors = validateClassic(insns);
    if (message === undefined) expect(errors).toEqual([]);
    else expect(errors.map((error) => error.message).join("; ")).toMatch(message);
  });
  it("knows the opcodes of chk_code_allowed: 49 of them", () => {
    expect(CLASSIC_CODES.size).toBe(49);
  });
});

describe("disassembleClassic", () => {
  it("writes what tcpdump -d writes", () => {
    expect(
      disassembleClassic([
        ldh(12),
        insn(0x15, 0x800, 0, 3),
        insn(0xb1, 14),
        insn(0x48, 14),
        insn(0x80),
        ld(SKF_AD_OFF + 48),
        insn(0x54, 0xf0),
        insn(0x64, 3),
        insn(0x84),
        insn(0x2d, 0, 1, 0),
        insn(0x05, 0),
        insn(0x02, 1),
        insn(0x07),
        insn(0xff),
        retA,
        ret(262144),
      ]),
    ).toBe(
      [
        "(000) ldh      [12]",
        "(001) jeq      #0x800           jt 2\tjf 5",
        "(002) ldxb     4*([14]&0xf)",
        "(003) ldh      [x + 14]",
        "(004) ld       #pktlen",
        "(005) ld       [vlanp]",
        "(006) and      #0xf0",
        "(007) lsh      #3",
        "(008) neg      ",
        "(009) jgt      x                jt 11\tjf 10",
        "(010) ja       11",
        "(011) st       M[1]",
        "(012) tax      ",
        "(013) unimp    0xff",
        "(014) ret      ",
        "(015) ret      #262144",
        "",
      ].join("\n"),
    );
  });
});

/** A context with recognisable members. */
function skb(length: number): Uint8Array {
  const ctx = new Uint8Array(192);
  const view = new DataView(ctx.buffer);
  const members = {
    0: length,
    4: 3,
    8: 77,
    12: 5,
    16: 0x0008,
    20: 1,
    24: 0x2064,
    28: 0x0081,
    40: 9,
    68: 0xabcdef01,
  };
  for (const [offset, value] of Object.entries(members)) view.setUint32(Number(offset), value, true);
  return ctx;
}
const ANCILLARY_VALUES = {
  proto: 0x800,
  type: 3,
  ifidx: 9,
  mark: 77,
  queue: 5,
  hatype: 1,
  rxhash: 0xabcdef01,
  cpu: 0,
  vlan_tci: 0x2064,
  vlanp: 1,
  vlan_tpid: 0x8100,
  random: 4,
};
const PACKET = Uint8Array.from({ length: 60 }, (_, i) => (i * 37 + 5) & 0xff);

function both(
  insns: ClassicInsn[],
  semantics: ClassicSemantics,
  packet = PACKET,
  length = packet.length,
): number {
  const expected = runClassic(insns, { data: packet, length, ancillary: ANCILLARY_VALUES }, semantics);
  const got = runModel(classicToEbpf(insns, { semantics }), { ctx: skb(length), packet });
  expect(got, disassembleClassic(insns)).toBe(expected);
  return got;
}

describe("classicToEbpf", () => {
  const END = PACKET.length;
  const X = (x: number, ...rest: ClassicInsn[]): ClassicInsn[] => [ldxImm(x), ...rest, retA];
  it.each<[string, ClassicInsn[], number, number?]>([
    ["word", [ld(0), retA], 0x052a4f74],
    ["last byte", [ldb(END - 1), insn(0x54, 0), insn(0x04, 9), retA], 9],
    ["half out of bounds", [ldh(END - 1), ret(1)], 0],
    ["far out of bounds", [ld(0x7fffffff), ret(1)], 0],
    ["indexed", X(2, ldbInd(1)), 0x74],
    ["index out of bounds", X(END, ldbInd(0)), 0],
    ["index wraps: -4 + 5", X(-4, ldbInd(5)), 0x2a, 0],
    ["network offset", [ldb(SKF_NET_OFF + 1), retA], PACKET[15]!, 0],
    ["link-layer offset", [ldb(SKF_LL_OFF + 1), retA], PACKET[1]!, 0],
    ["network offset indexed", X(1, ldbInd(SKF_NET_OFF)), PACKET[15]!, 0],
    ["header length", [insn(0xb1, 0), insn(0x87), retA], 20],
    ["header length keeps A", [ldImm(7), insn(0xb1, 0), retA], 7],
    ["header length out of bounds", [insn(0xb1, END), ret(1)], 0],
    ["length", [insn(0x80), retA], END],
    ["length to X", [insn(0x81), insn(0x87), retA], END],
    ["division by X = 0", X(0, ldImm(5), insn(0x3c), ret(1)), 0],
    ["modulo by X = 0", X(0, ldImm(5), insn(0x9c), ret(1)), 0],
    ["division is unsigned", X(2, ldImm(-2), insn(0x3c)), 0x7fffffff],
    ["multiplication wraps", [ldImm(0x10001), insn(0x24, 0x10001), retA], 0x20001],
    ["negation", [ldImm(1), insn(0x84), retA], 0xffffffff],
    ["shift by X = 33", X(33, ldImm(3), insn(0x6c)), 6, 0],
    ["right shift by X = 32", X(32, ldImm(3), insn(0x7c)), 3, 0],
    ["shift by X = 31", X(31, ldImm(1), insn(0x6c)), 0x80000000],
    [
      "scratch",
      [ldImm(5), insn(0x02, 15), ldxImm(6), insn(0x03, 0), insn(0x60, 0), insn(0x61, 15), insn(0x0c), retA],
      11,
    ],
    ["jump on a negative constant", [ldImm(-1), insn(0x15, -1, 0, 1), ret(1), ret(2)], 1],
    ["unsigned comparison", [ldImm(-1), insn(0x25, 1, 1, 0), ret(1), ret(2)], 2],
    ["jset with both targets", [ldImm(4), insn(0x45, 4, 1, 2), ret(1), ret(2), ret(3)], 2],
    ["jt = jf", [ldImm(4), insn(0x15, 4, 1, 1), ret(1), ret(2)], 2],
    ["ja", [insn(0x05, 1), ret(1), ret(2)], 2],
    ["A and X start at 0", [insn(0x0c), retA], 0],
    ["ret A", [ldImm(-1), retA], 0xffffffff],
    ["A survives a load through X", [ldImm(7), insn(0x02, 0), ldbInd(0), insn(0x60, 0), retA], 7],
  ])("%s", (_, insns, result, libpcap = result) => {
    expect(both(insns, "linux")).toBe(result);
    expect(both(insns, "libpcap")).toBe(libpcap);
  });

  it("reads the wire length of a cut packet", () => {
    expect(both([insn(0x80), retA], "linux", PACKET, 1500)).toBe(1500);
  });

  it.each(Object.entries(ANCILLARY_VALUES))("ancillary %s = %i", (name, value) => {
    const at = SKF_AD_OFF + 4 * (ANCILLARY as readonly string[]).indexOf(name);
    for (const code of [0x20, 0x28, 0x30]) expect(both([insn(code, at), retA], "linux")).toBe(value);
    expect(both([ld(at), ret(1)], "libpcap")).toBe(0);
  });

  it("computes A ^ X for the ancillary load xor_x", () => {
    expect(both([ldImm(0xff), ldxImm(0x0f), ld(SKF_AD_OFF + 40), retA], "linux")).toBe(0xf0);
  });

  it("ends where there is no device", () => {
    const code = classicToEbpf([ldImm(3), ld(SKF_AD_OFF + 8), ret(9)]);
    expect(runModel(code, { ctx: new Uint8Array(192), packet: PACKET })).toBe(3);
  });

  describe("netlink attributes", () => {
    // A 4-byte header, then attributes: type 1 (len 5), type 2 (len 12, nested: type 7 len 8), type 3 (len 4).
    const stream = Uint8Array.of(
      ...[0, 0, 0, 0],
      ...[5, 0, 1, 0, 0xaa, 0, 0, 0],
      ...[12, 0, 2, 0x80, 8, 0, 7, 0, 1, 2, 3, 4],
      ...[4, 0, 3, 0],
    );
    const find = (a: number, x: number, nested: boolean): number =>
      runModel(classicToEbpf([ldImm(a), ldxImm(x), ld(SKF_AD_OFF + (nested ? 16 : 12)), retA]), {
        ctx: skb(stream.length),
        packet: stream,
      });
    it.each([
      [4, 1, false, 4],
      [4, 2, false, 12],
      [4, 3, false, 24],
      [4, 4, false, 0],
      [12, 1, false, 0],
      [12, 7, true, 16],
      [12, 8, true, 0],
      [24, 3, true, 0],
      [25, 3, false, 0],
      [-1, 3, false, 0],
      [0, 1, false, 0],
    ])("from %i type %i nested %s: %i", (a, x, nested, result) => {
      expect(find(a, x, nested)).toBe(result);
    });
  });

  it("refuses what it cannot do, and what Linux refuses", () => {
    expect(() => classicToEbpf([ld(SKF_AD_OFF + 52), retA])).toThrow(UnsupportedError);
    expect(() => classicToEbpf([ldImm(1)])).toThrow(/insn 0: the last instruction must be ret/);
  });
});

describe("generated filters", () => {
  it.each(["linux", "libpcap"] as const)("translation = machine (%s)", (semantics) => {
    let ran = 0;
    fc.assert(
      fc.property(programs, fc.uint8Array({ maxLength: 64 }), (insns, packet) => {
        if (validateClassic(insns).length > 0 || insns.some(({ k, code }) => code <= 0x30 && isComputed(k)))
          return;
        both(insns, semantics, packet);
        ran++;
      }),
      { numRuns: 2000, seed: 7 },
    );
    expect(ran).toBeGreaterThan(1000);
  });

  const isComputed = (k: number): boolean => [12, 16, 52].some((offset) => k === SKF_AD_OFF + offset);

  it("garbage gives errors, never anything else", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(0xff), fc.nat(0xff), fc.nat(0xff), constants), { maxLength: 30 }),
        (rows) => {
          const insns = rows.map(([code, jt, jf, k]) => ({ code, jt, jf, k }));
          disassembleClassic(insns);
          const errors = validateClassic(insns);
          expect(errors.every((error) => error instanceof AsmError)).toBe(true);
          if (errors.length > 0) expect(() => classicToEbpf(insns)).toThrow(AsmError);
        },
      ),
      { numRuns: 2000, seed: 8 },
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseDdd(text);
        } catch (error) {
          expect(error).toBeInstanceOf(AsmError);
        }
      }),
      { numRuns: 1000, seed: 9 },
    );
  });
});

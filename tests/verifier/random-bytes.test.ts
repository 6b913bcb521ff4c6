/** Whatever the bytes are, verify() answers: no crash, no hang. */
import { describe, expect, it } from "vitest";
import {
  findProfile,
  type MapDescription,
  PROFILE_NAMES,
  type VerifierInput,
  verify,
} from "../../src/verifier/index.ts";

/** xorshift32. */
function random(seed: number): (below: number) => number {
  let x = seed | 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

const MAP: MapDescription = {
  index: 0,
  name: "array",
  type: 2,
  keySize: 4,
  valueSize: 16,
  maxEntries: 1,
  flags: 0,
  btf: null,
  btfKeyTypeId: 0,
  btfValueTypeId: 0,
  btfVmlinuxValueTypeId: 0,
  mapExtra: 0n,
  inner: null,
  frozen: false,
  contents: null,
};

const OPCODES: readonly number[] = [
  0x07, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x47, 0x4f, 0x57, 0x5f, 0x67, 0x6f, 0x77, 0x7f, 0x87, 0x97,
  0x9f, 0xa7, 0xaf, 0xb7, 0xbf, 0xc7, 0xcf, 0xd7, 0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c,
  0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0x84, 0x94, 0x9c, 0xa4, 0xac, 0xb4, 0xbc, 0xc4, 0xcc, 0xd4, 0xdc, 0x18,
  0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x61, 0x69, 0x71, 0x79, 0x81, 0x89, 0x91, 0x62, 0x6a, 0x72, 0x7a, 0x63,
  0x6b, 0x73, 0x7b, 0xc3, 0xdb, 0x05, 0x06, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x55, 0x5d, 0x65,
  0x6d, 0x75, 0x7d, 0xa5, 0xad, 0xb5, 0xbd, 0xc5, 0xcd, 0xd5, 0xdd, 0x16, 0x1e, 0x26, 0x2e, 0x36, 0x3e, 0x46,
  0x4e, 0x56, 0x5e, 0x66, 0x6e, 0x76, 0x7e, 0xa6, 0xae, 0xb6, 0xbe, 0xc6, 0xce, 0xd6, 0xde, 0xe5, 0x85, 0x95,
];
const IMMS: readonly number[] = [
  0, 1, -1, 2, 4, 7, 8, 16, 32, 64, 0x10, 0xff, 0xe1, 0xf1, 0x100, 0x7fffffff, -0x80000000,
];

/** Every register a number, R6 the context. */
const PRELUDE: readonly number[] = [0, 2, 3, 4, 5, 7, 8, 9];

/** Instructions that a program could consist of, most of them well formed, jumps mostly forwards; or plain noise. */
function program(next: (below: number) => number): Uint8Array {
  const count = 1 + next(16);
  const first = PRELUDE.length + 1;
  const bytes = new Uint8Array((first + count + 2) * 8);
  const view = new DataView(bytes.buffer);
  const put = (slot: number, op: number, regs: number, off: number, imm: number): void => {
    bytes[slot * 8] = op;
    bytes[slot * 8 + 1] = regs;
    view.setInt16(slot * 8 + 2, off, true);
    view.setInt32(slot * 8 + 4, imm, true);
  };
  put(0, 0xbf, 0x16, 0, 0);
  for (const [i, r] of PRELUDE.entries()) put(i + 1, 0xb7, r, 0, IMMS[next(IMMS.length)]!);
  const noise = next(20) === 0;
  for (let i = 0; i < count; i++) {
    const slot = first + i;
    if (noise) {
      for (let k = 0; k < 8; k++) bytes[slot * 8 + k] = next(256);
      continue;
    }
    const op = OPCODES[next(OPCODES.length)]!;
    const cls = op & 7;
    const wild = next(12) === 0;
    const jump = cls === 5 || cls === 6;
    const arithmetic = jump || cls === 4 || cls === 7;
    const dst = cls <= 3 && cls > 0 && next(2) === 0 ? 10 : next(10);
    const src = arithmetic && (op & 8) === 0 ? 0 : next(10);
    const useImm = (arithmetic && (op & 8) === 0) || cls === 2;
    let off = jump ? next(count - i) : cls > 0 && cls <= 3 ? -8 * (1 + next(4)) : 0;
    let imm = useImm ? IMMS[next(IMMS.length)]! : 0;
    if (op === 0x05 || op === 0x06 || op === 0x95) {
      put(slot, 0x05, 0, 0, 0);
      continue;
    }
    if (op === 0x85) {
      put(slot, op, 0, 0, wild ? next(230) : [5, 7, 8, 14][next(4)]!);
      continue;
    }
    if ((op & 0xf0) === 0xd0 && (cls === 4 || cls === 7)) imm = [16, 32, 64][next(3)]!;
    if (wild) off = next(64) - 32;
    put(slot, op, dst | ((wild ? next(16) : src) << 4), off, imm);
    if (op !== 0x18) continue;
    if (i + 1 < count) {
      put(slot, op, next(10) | ((wild ? next(7) : next(3)) << 4), 0, 0);
      i++;
    } else put(slot, 0xb7, 0, 0, 0);
  }
  put(first + count, 0xb7, 0, 0, 0);
  put(first + count + 1, 0x95, 0, 0, 0);
  return bytes;
}

const PROG_TYPES: readonly number[] = [1, 3, 5, 6, 8, 13];

describe("random instructions", () => {
  it.each(PROFILE_NAMES)("%s answers to all of them", (name) => {
    const profile = findProfile(name)!;
    const next = random(0x5eed + name.length * 77);
    let accepted = 0;
    const messages = new Set<string>();
    for (let n = 0; n < Number(process.env["TSBPF_RANDOM_PROGRAMS"] ?? 1500); n++) {
      const input: VerifierInput = {
        insns: program(next),
        maps: [MAP],
        progType: next(6) === 0 ? 1 + next(32) : PROG_TYPES[next(PROG_TYPES.length)]!,
        expectedAttachType: next(10) === 0 ? next(56) : 0,
        progFlags: next(6) === 0 ? next(256) : 0,
        license: next(4) === 0 ? "MIT" : "GPL",
        name: "random",
        btf: null,
        funcInfo: [],
        lineInfo: [],
        attach: null,
        ...(next(4) === 0 ? { caps: { bpf: false, perfmon: false, netAdmin: false, sysAdmin: false } } : {}),
      };
      const result = verify(input, profile, null, { logLevel: next(3), limit: 5000 });
      expect(result.errno).toBeGreaterThanOrEqual(0);
      expect(result.ok).toBe(result.errno === 0);
      if (result.ok) accepted++;
      else messages.add(result.message.replace(/-?\d+/g, "N"));
    }
    // Enough of both that the test looks at more than the first check.
    expect(accepted).toBeGreaterThan(5);
    expect(messages.size).toBeGreaterThan(40);
  });
});

// A machine for classic BPF, as it was: the reference for the translation (Linux's ___bpf_prog_run of old, libpcap's
// bpf_filter.c). Slow and simple on purpose.
import { UnsupportedError } from "../../diag/index.ts";
import {
  type Ancillary,
  ancillaryAt,
  BPF_MEMWORDS,
  CLASSIC_CODES,
  type ClassicInsn,
  SKF_LL_OFF,
  SKF_NET_OFF,
} from "./insn.ts";
import type { ClassicSemantics } from "./translate.ts";
import { validateClassic } from "./validate.ts";

export interface ClassicPacket {
  /** The bytes at hand, from the link-layer header on. */
  readonly data: Uint8Array;
  /** What `len` reads; default data.length. */
  readonly length?: number;
  /** Where the network header starts (SKF_NET_OFF); default 14, an Ethernet header. */
  readonly networkOffset?: number;
  /** What ancillary loads read; absent ones read 0. */
  readonly ancillary?: Partial<Record<Ancillary, number>>;
}

/**
 * Runs a filter that validateClassic admits (its first error is thrown otherwise) and returns its verdict, a u32.
 * Throws UnsupportedError for the ancillary loads that compute (nla, nlan, poff).
 */
export function runClassic(
  insns: readonly ClassicInsn[],
  packet: ClassicPacket,
  semantics: ClassicSemantics = "linux",
): number {
  const [error] = validateClassic(insns);
  if (error !== undefined) throw error;
  const { data } = packet;
  const libpcap = semantics === "libpcap";
  const memory = new Uint32Array(BPF_MEMWORDS);
  let a = 0;
  let x = 0;

  /** The value at offset base + k, or undefined where the packet has no such bytes. */
  const load = (base: number, k: number, size: 1 | 2 | 4): number | undefined => {
    let at = base + k;
    if (!libpcap) {
      const wrapped = at >>> 0;
      if (wrapped >= SKF_NET_OFF) at = wrapped - SKF_NET_OFF + (packet.networkOffset ?? 14);
      else if (wrapped >= SKF_LL_OFF) at = wrapped - SKF_LL_OFF;
      else at = wrapped;
    }
    if (at + size > data.length) return undefined;
    let value = 0;
    for (let i = 0; i < size; i++) value = value * 256 + data[at + i]!;
    return value;
  };

  for (let pc = 0; ; pc++) {
    const insn = insns[pc]!;
    const { k } = insn;
    const form = CLASSIC_CODES.get(insn.code)!;
    switch (form.kind) {
      case "load-abs": {
        const ancillary = libpcap ? undefined : ancillaryAt(k);
        if (ancillary === "nla" || ancillary === "nlan" || ancillary === "poff")
          throw new UnsupportedError(`the ancillary load ${ancillary} in the reference machine`);
        const value =
          ancillary === "xor_x"
            ? (a ^ x) >>> 0
            : ancillary !== undefined
              ? (packet.ancillary?.[ancillary] ?? 0)
              : load(0, k, form.size);
        if (value === undefined) return 0;
        a = value;
        break;
      }
      case "load-ind": {
        const value = load(x, k, form.size);
        if (value === undefined) return 0;
        a = value;
        break;
      }
      case "load-msh": {
        const value = load(0, k, 1);
        if (value === undefined) return 0;
        x = (value & 0xf) << 2;
        break;
      }
      case "load-len":
      case "load-imm":
      case "load-mem": {
        const value =
          form.kind === "load-imm"
            ? k
            : form.kind === "load-mem"
              ? memory[k]!
              : (packet.length ?? data.length) >>> 0;
        if (form.to === "a") a = value;
        else x = value;
        break;
      }
      case "store":
        memory[k] = form.from === "a" ? a : x;
        break;
      case "alu": {
        const operand = form.source === "x" ? x : k;
        if (operand === 0 && (form.mnemonic === "div" || form.mnemonic === "mod")) return 0;
        if (libpcap && operand > 31 && (form.mnemonic === "lsh" || form.mnemonic === "rsh")) a = 0;
        else a = ALU[form.mnemonic](a, operand) >>> 0;
        break;
      }
      case "ja":
        pc += k;
        break;
      case "jump":
        pc += JUMP[form.mnemonic](a, form.source === "x" ? x : k) ? insn.jt : insn.jf;
        break;
      case "ret":
        return form.source === "a" ? a : k;
      case "tax":
        x = a;
        break;
      case "txa":
        a = x;
        break;
    }
  }
}

const ALU = {
  add: (a: number, b: number) => a + b,
  sub: (a: number, b: number) => a - b,
  mul: (a: number, b: number) => Math.imul(a, b),
  div: (a: number, b: number) => Math.floor(a / b),
  mod: (a: number, b: number) => a % b,
  and: (a: number, b: number) => a & b,
  or: (a: number, b: number) => a | b,
  xor: (a: number, b: number) => a ^ b,
  lsh: (a: number, b: number) => a << b,
  rsh: (a: number, b: number) => a >>> b,
  neg: (a: number) => -a,
} as const;

const JUMP = {
  jeq: (a: number, b: number) => a === b,
  jgt: (a: number, b: number) => a > b,
  jge: (a: number, b: number) => a >= b,
  jset: (a: number, b: number) => (a & b) !== 0,
} as const;

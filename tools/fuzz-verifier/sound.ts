/** Are the registers of a run what the verifier claimed on some path? */
import { decodeSlots, encode } from "../../src/asm/index.ts";
import type { Btf } from "../../src/btf/index.ts";
import { verify } from "../../src/verifier/index.ts";
import { toS64, toU64 } from "../../src/verifier/numbers/int64.ts";
import { findProfile } from "../../src/verifier/profiles.ts";
import type { RegState } from "../../src/verifier/state/reg.ts";
import {
  baseType,
  mayBeNull,
  NOT_INIT,
  PTR_TO_CTX,
  PTR_TO_MAP_VALUE,
  PTR_TO_PACKET,
  PTR_TO_PACKET_END,
  PTR_TO_STACK,
  SCALAR_VALUE,
} from "../../src/verifier/state/reg-type.ts";
import { STACK_SPILL, type VerifierState } from "../../src/verifier/state/state.ts";
import type { ProgKind } from "./generate.ts";
import {
  CTX_BASE,
  frameTop,
  Machine,
  mapValue,
  PACKET_BASE,
  type Step,
  Unsupported,
  Violation,
} from "./machine.ts";
import { type FuzzProgram, verifierInput } from "./program.ts";
import { MAPS, type World } from "./world.ts";

const M64 = (1n << 64n) - 1n;
const profile = findProfile("6.18")!;

/** More instructions than this, every path followed to its end, are too many. */
const LIMIT = 3_000;

/** The number (or the variable part of an offset) is inside the tnum and all four ranges. */
function holds(reg: RegState, value: bigint, is32: boolean): boolean {
  const s = BigInt.asIntN(64, value);
  if ((value & ~toU64(reg.maskLo, reg.maskHi) & M64) !== toU64(reg.valueLo, reg.valueHi)) return false;
  if (value < toU64(reg.uminLo, reg.uminHi) || value > toU64(reg.umaxLo, reg.umaxHi)) return false;
  if (s < toS64(reg.sminLo, reg.sminHi) || s > toS64(reg.smaxLo, reg.smaxHi)) return false;
  if (!is32) return true;
  const low = Number(BigInt.asUintN(32, value));
  return (
    low >= reg.u32Min >>> 0 && low <= reg.u32Max >>> 0 && (low | 0) >= reg.s32Min && (low | 0) <= reg.s32Max
  );
}

function isClaimed(reg: RegState, value: bigint, machine: Machine, shift: number): boolean {
  const offset = (base: bigint): boolean =>
    holds(reg, BigInt.asUintN(64, value - base - BigInt(reg.off)), false);
  if (mayBeNull(reg.type) && value === 0n) return true;
  switch (baseType(reg.type)) {
    case SCALAR_VALUE:
      return holds(reg, value, true);
    case PTR_TO_STACK:
      return offset(frameTop(reg.frameno + shift));
    case PTR_TO_CTX:
      return offset(CTX_BASE);
    case PTR_TO_MAP_VALUE: {
      const { index } = reg.map!;
      for (let entry = 0; entry < MAPS[index]!.entries && entry < 16; entry++)
        if (offset(mapValue(index, entry))) return true;
      return false;
    }
    case PTR_TO_PACKET:
      // So many bytes from its base on are there.
      if (
        reg.range > 0 &&
        value - BigInt(reg.off) + BigInt(reg.range) > PACKET_BASE + BigInt(machine.packetSize)
      )
        return false;
      return offset(PACKET_BASE);
    case PTR_TO_PACKET_END:
      return value === PACKET_BASE + BigInt(machine.packetSize);
    default:
      return true;
  }
}

function fits(state: VerifierState, step: Step, machine: Machine): boolean {
  // A global function was verified on its own: as if it were the first.
  const shift = step.depth - state.curframe;
  if (shift < 0 || (shift > 0 && state.frames[0]!.subprogno === 0)) return false;
  const { regs, stack } = state.frame;
  for (let r = 0; r <= 10; r++) {
    const reg = regs[r]!;
    if (reg.type !== NOT_INIT && !isClaimed(reg, step.regs[r]!, machine, shift)) return false;
  }
  for (let spi = 0; spi < stack.length; spi++) {
    const slot = stack[spi]!;
    if (slot.typeAt(0) !== STACK_SPILL || slot.spilled.type === NOT_INIT) continue;
    const value = machine.load(frameTop(step.depth) - BigInt((spi + 1) * 8), 8);
    if (!isClaimed(slot.spilled, value, machine, shift)) return false;
  }
  return true;
}

/** null: sound on these inputs; "skip": not accepted, too long, or beyond the machine; else what was violated. */
export function checkSound(
  program: FuzzProgram,
  kind: ProgKind,
  world: World,
  kernelBtf: Btf,
  inputs: number,
  seed: number,
): string | null {
  const input = verifierInput(program, world);
  if (!verify(input, profile, kernelBtf, { limit: LIMIT }).ok) return "skip";
  const claims = new Map<number, VerifierState[]>();
  const all = verify(input, profile, kernelBtf, {
    limit: LIMIT,
    exhaustive: true,
    onInsn: (insn, state) => {
      const list = claims.get(insn);
      if (list === undefined) claims.set(insn, [state.copy()]);
      else list.push(state.copy());
    },
  });
  if (!all.ok) return "skip";
  const slots = decodeSlots(encode(program.insns));
  let ran = 0;
  for (let i = 0; i < inputs; i++) {
    const machine = new Machine(slots, kind, seed * 1000 + i);
    try {
      machine.run((step) => {
        const list = claims.get(step.insn) ?? [];
        if (!list.some((state) => fits(state, step, machine)))
          throw new Violation(
            `registers at ${step.insn} are not what any of ${list.length} paths claims: ${step.regs.map((v, r) => `r${r}=0x${v.toString(16)}`).join(" ")}`,
          );
      });
      ran++;
    } catch (e) {
      if (e instanceof Violation) return `input ${i}: ${e.message}`;
      if (!(e instanceof Unsupported)) throw e;
      if (i === 0) return "skip";
    }
  }
  return ran > 0 ? null : "skip";
}

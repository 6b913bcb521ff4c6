/** The log: states, instructions and source lines as kernel/bpf/log.c prints them. Facts only; nothing here decides. */
import { kernelInsnText, type Slots } from "../../asm/index.ts";
import {
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
} from "../../uapi/index.ts";
import type { Env, VerifierLog } from "../env.ts";
import { BPF_LOG_LEVEL1, BPF_LOG_LEVEL2, BPF_LOG_STATS, type LineInfo } from "../input.ts";
import { NOT_INIT } from "../state/reg-type.ts";
import {
  BPF_REG_SIZE,
  MAX_BPF_REG,
  STACK_DYNPTR,
  STACK_INVALID,
  STACK_ITER,
  STACK_SPILL,
  type VerifierState,
} from "../state/state.ts";
import { LogBuffer } from "./log-buffer.ts";
import { regText } from "./reg-text.ts";
import { dynptrTypeStr, iterStateStr, iterTypeStr } from "./type-names.ts";

/** By STACK_*. */
const SLOT_CHARS = "?rm0dif?";

/** One call of print_verifier_state(): the frame's registers and slots, all or those touched since the last time. */
export function printVerifierState(env: Env, state: VerifierState, frameno: number, printAll: boolean): void {
  if (env.log.level === 0) return;
  const frame = state.frames[frameno]!;
  // Older kernels mark what was written since the last checkpoint.
  const marks = env.profile.rules.has("log-written-marks");
  let text = frame.frameno !== 0 ? ` frame${frame.frameno}:` : "";
  for (let r = 0; r < MAX_BPF_REG; r++) {
    const reg = frame.regs[r]!;
    if (reg.type === NOT_INIT || (!printAll && ((env.scratchedRegs >>> r) & 1) === 0)) continue;
    const mark = marks && ((frame.written >>> r) & 1) !== 0 ? "_w" : "";
    text += ` R${r}${mark}=${regText(reg, frame.frameno, frame.isPrecise(r))}`;
  }
  for (let i = 0; i < frame.stack.length; i++) {
    const scratched = i < 32 ? env.scratchedSlotsLo >>> i : env.scratchedSlotsHi >>> (i - 32);
    if (!printAll && (scratched & 1) === 0) continue;
    const slot = frame.stack[i]!;
    let types = "";
    let valid = false;
    for (let j = 0; j < BPF_REG_SIZE; j++) {
      const type = slot.typeAt(j);
      if (type !== STACK_INVALID) valid = true;
      types += SLOT_CHARS[type];
    }
    if (!valid) continue;
    const name = (spi: number): string => {
      const written = spi < 32 ? frame.writtenSlotsLo >>> spi : frame.writtenSlotsHi >>> (spi - 32);
      return ` fp-${(spi + 1) * BPF_REG_SIZE}${marks && (written & 1) !== 0 ? "_w" : ""}=`;
    };
    switch (slot.typeAt(BPF_REG_SIZE - 1)) {
      case STACK_SPILL: {
        // A narrow spill occupies the upper bytes of the slot.
        text +=
          name(i) +
          types.slice(0, types.indexOf("r")) +
          regText(slot.spilled, frame.frameno, frame.isSlotPrecise(i));
        break;
      }
      case STACK_DYNPTR: {
        // The main slot is the second one.
        const reg = frame.stack[++i]?.spilled;
        if (!reg) break;
        const parts: string[] = [];
        if (reg.id !== 0) parts.push(`id=${reg.id}`);
        if (reg.refObjId !== 0) parts.push(`ref_id=${reg.refObjId}`);
        if (reg.dynptrId !== 0) parts.push(`dynptr_id=${reg.dynptrId}`);
        text += `${name(i)}dynptr_${dynptrTypeStr(reg.dynptrType)}(${parts.join(",")})`;
        break;
      }
      case STACK_ITER: {
        const reg = slot.spilled;
        // The other slots of an iterator have no reference.
        if (reg.refObjId === 0) break;
        text += `${name(i)}iter_${iterTypeStr(reg.btf, reg.btfId)}(ref_id=${reg.refObjId},state=${iterStateStr(reg.iterState)},depth=${reg.iterDepth})`;
        break;
      }
      default:
        text += name(i) + types;
    }
  }
  if (state.refs.length > 0 && state.refs[0]!.id !== 0)
    text += ` refs=${state.refs
      .filter((ref) => ref.id !== 0)
      .map((ref) => ref.id)
      .join(",")}`;
  if (frame.inCallbackFn) text += " cb";
  if (frame.inAsyncCallbackFn) text += " async_cb";
  env.log.write(`${text}\n`);
  if (!printAll) markPrinted(env);
}

/** mark_verifier_state_clean(). */
function markPrinted(env: Env): void {
  env.scratchedRegs = 0;
  env.scratchedSlotsLo = 0;
  env.scratchedSlotsHi = 0;
}

/** vlog_alignment(): blanks up to the column of the comment. */
function alignment(pos: number): number {
  return Math.ceil(Math.max(pos + 4, 40) / 8) * 8 - pos - 1;
}

/** What the last instruction changed, behind its text if that is still the log's last line: print_insn_state(). */
export function printInsnState(env: Env, state: VerifierState, frameno: number): void {
  const { log } = env;
  if (log.level === 0) return;
  if (env.prevLogPos !== 0 && env.prevLogPos === log.position) {
    log.reset(env.prevLogPos - 1);
    log.write(`${" ".repeat(alignment(env.prevInsnPrintPos))};`);
  } else log.write(`${env.insnIdx}:`);
  printVerifierState(env, state, frameno, false);
}

/** The record that covers a slot: find_linfo(). */
export function findLineInfo(lines: readonly LineInfo[], insnIdx: number): LineInfo | null {
  let lo = 0;
  let hi = lines.length - 1;
  if (hi < 0) return null;
  while (lo < hi) {
    const mid = lo + ((hi - lo + 1) >> 1);
    if (lines[mid]!.insn <= insnIdx) lo = mid;
    else hi = mid - 1;
  }
  return lines[lo]!;
}

/** The source line of a slot, unless it was printed last: verbose_linfo(). */
export function verboseLineInfo(env: Env, insnIdx: number, prefix: string): void {
  if (env.log.level === 0 || insnIdx >= env.slots.count) return;
  const line = findLineInfo(env.input.lineInfo, insnIdx);
  const prev = env.prevLineInfo;
  if (line === null || line === prev) return;
  if (prev !== null && prev.file === line.file && prev.line === line.line) return;
  const name = line.file.slice(line.file.lastIndexOf("/") + 1);
  env.log.write(`${prefix}${line.text.trimStart()} @ ${name}:${line.line}\n`);
  env.prevLineInfo = line;
}

/** An instruction as the log prints it: "(85) call bpf_map_lookup_elem#1". */
export function insnText(env: Env, i: number): string {
  return kernelInsnText(env.slots, i, {
    call: (slots: Slots, at: number) => {
      if (slots.src[at] !== BPF_PSEUDO_KFUNC_CALL) return undefined;
      const module = slots.off[at]!;
      const btf = module === 0 ? env.kernelBtf : (env.input.moduleBtfs?.[module] ?? null);
      return btf?.typeName(slots.imm[at]!) || undefined;
    },
    imm64: (slots: Slots, at: number) => {
      const src = slots.src[at]!;
      const map = [BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE, BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE];
      if (!map.includes(src)) return undefined;
      // The kernel prints an address, or zero to those that may not see one.
      if (!env.allowPtrLeaks) return "0x0";
      const index = BigInt(slots.imm[at]! >>> 0);
      return `0x${(0xffff888000000000n + (index << 12n) + BigInt(slots.imm[at + 1]! >>> 0)).toString(16)}`;
    },
  });
}

/** The lines that precede the check of an instruction in do_check(). */
export function printInsn(env: Env): void {
  const { log, state } = env;
  if ((log.level & (BPF_LOG_LEVEL1 | BPF_LOG_LEVEL2)) === 0) return;
  if ((env.scratchedRegs | env.scratchedSlotsLo | env.scratchedSlotsHi) !== 0)
    printInsnState(env, state, state.curframe);
  verboseLineInfo(env, env.insnIdx, "; ");
  const start = log.position;
  log.write(`${env.insnIdx}: ${insnText(env, env.insnIdx)}\n`);
  env.prevInsnPrintPos = log.position - start;
  env.prevLogPos = log.position;
}

export function newLog(level: number): VerifierLog {
  return new LogBuffer(level);
}

/** The last lines: print_verification_stats(). `mark_read` is what 6.18 prints of it. */
export function printStats(env: Env, timeMs: number): void {
  if ((env.log.level & BPF_LOG_STATS) !== 0)
    env.verbose(
      `verification time ${Math.round(timeMs * 1000)} usec\nstack depth ${env.subprogs.map((s) => s.stackDepth).join("+")}\n`,
    );
  env.verbose(
    `processed ${env.processed} insns (limit 1000000) max_states_per_insn ${env.maxStatesPerInsn} total_states ${env.totalStates} peak_states ${env.peakStates} mark_read 0\n`,
  );
}

/** The same under the name that pruning uses. */
export const verboseLine: typeof verboseLineInfo = verboseLineInfo;

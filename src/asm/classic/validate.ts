// bpf_check_classic and check_load_and_stores of Linux's net/core/filter.c. The kernel stops at the first fault with
// EINVAL; here each faulty instruction is named.
import { AsmError } from "../../diag/index.ts";
import { BPF_MAXINSNS } from "../../uapi/index.ts";
import {
  ancillaryAt,
  BPF_MEMWORDS,
  CLASSIC_CODES,
  type ClassicForm,
  type ClassicInsn,
  SKF_AD_OFF,
} from "./insn.ts";

/** Empty: Linux takes the filter. Otherwise one error an instruction, in their order. */
export function validateClassic(insns: readonly ClassicInsn[]): AsmError[] {
  const count = insns.length;
  if (count === 0 || count > BPF_MAXINSNS)
    return [new AsmError(`a classic program has 1 to ${BPF_MAXINSNS} instructions, got ${count}`)];
  const errors: AsmError[] = [];
  insns.forEach((insn, i) => {
    const form = CLASSIC_CODES.get(insn.code);
    const message =
      form === undefined ? `unknown opcode 0x${insn.code.toString(16)}` : fault(form, insn, i, count);
    if (message !== undefined) errors.push(new AsmError(message, { insn: i }));
  });
  const last = CLASSIC_CODES.get(insns[count - 1]!.code);
  if (last !== undefined && last.kind !== "ret")
    errors.push(new AsmError("the last instruction must be ret", { insn: count - 1 }));
  return errors.length > 0 ? errors : uninitializedLoads(insns);
}

function fault(form: ClassicForm, insn: ClassicInsn, i: number, count: number): string | undefined {
  const { k } = insn;
  switch (form.kind) {
    case "alu":
      if (form.source === "x") return undefined;
      if ((form.mnemonic === "div" || form.mnemonic === "mod") && k === 0) return `${form.mnemonic} by zero`;
      if ((form.mnemonic === "lsh" || form.mnemonic === "rsh") && k >= 32)
        return `${form.mnemonic} by ${k}: at most 31`;
      return undefined;
    case "load-mem":
    case "store":
      return k >= BPF_MEMWORDS ? `M[${k}] is out of range: M[0] to M[${BPF_MEMWORDS - 1}]` : undefined;
    case "ja":
      return k >= count - i - 1
        ? `jump to ${i + 1 + k}, beyond the last instruction ${count - 1}`
        : undefined;
    case "jump": {
      const target = i + 1 + Math.max(insn.jt, insn.jf);
      return target >= count ? `jump to ${target}, beyond the last instruction ${count - 1}` : undefined;
    }
    case "load-abs":
      return k >= SKF_AD_OFF && ancillaryAt(k) === undefined
        ? `unknown ancillary offset ${k - SKF_AD_OFF} (SKF_AD_OFF + n)`
        : undefined;
    default:
      return undefined;
  }
}

/** A scratch word must have been stored on every path that loads it. All jumps are forward: one pass. */
function uninitializedLoads(insns: readonly ClassicInsn[]): AsmError[] {
  const ALL = 0xffff;
  const masks = new Uint16Array(insns.length).fill(ALL);
  const errors: AsmError[] = [];
  let valid = 0;
  insns.forEach((insn, i) => {
    valid &= masks[i]!;
    const form = CLASSIC_CODES.get(insn.code)!;
    const flowTo = (distance: number): void => {
      masks[i + 1 + distance]! &= valid;
    };
    switch (form.kind) {
      case "store":
        valid |= 1 << insn.k;
        break;
      case "load-mem":
        if (!(valid & (1 << insn.k)))
          errors.push(new AsmError(`M[${insn.k}] is loaded where it may not have been stored`, { insn: i }));
        break;
      case "ja":
        flowTo(insn.k);
        valid = ALL;
        break;
      case "jump":
        flowTo(insn.jt);
        flowTo(insn.jf);
        valid = ALL;
        break;
      default:
    }
  });
  return errors;
}

// The text of `tcpdump -d` (libpcap's bpf_image.c).
import { ancillaryAt, BPF_RET, CLASSIC_CODES, type ClassicForm, type ClassicInsn } from "./insn.ts";

/** One line an instruction, each with a line feed; an opcode outside the table prints as `unimp`. */
export function disassembleClassic(insns: readonly ClassicInsn[]): string {
  return insns.map((insn, i) => `${disassembleClassicInsn(insn, i)}\n`).join("");
}

/** Instruction `index` of a program, without a line feed. */
export function disassembleClassicInsn(insn: ClassicInsn, index: number): string {
  const form = CLASSIC_CODES.get(insn.code);
  const mnemonic = (form?.mnemonic ?? "unimp").padEnd(8);
  const operand = form === undefined ? hex(insn.code) : operandOf(form, insn, index);
  const head = `(${String(index).padStart(3, "0")}) ${mnemonic} `;
  return form?.kind === "jump"
    ? `${head}${operand.padEnd(16)} jt ${index + 1 + insn.jt}\tjf ${index + 1 + insn.jf}`
    : head + operand;
}

function operandOf(form: ClassicForm, insn: ClassicInsn, index: number): string {
  const { k } = insn;
  switch (form.kind) {
    case "load-abs":
      return `[${ancillaryAt(k) ?? String(k | 0)}]`;
    case "load-ind":
      return `[x + ${k | 0}]`;
    case "load-len":
      return "#pktlen";
    case "load-imm":
      return `#${hex(k)}`;
    case "load-mem":
    case "store":
      return `M[${k | 0}]`;
    case "load-msh":
      return `4*([${k | 0}]&0xf)`;
    case "alu":
      if (form.mnemonic === "neg") return "";
      if (form.source === "x") return "x";
      return ["and", "or", "xor"].includes(form.mnemonic) ? `#${hex(k)}` : `#${k | 0}`;
    case "jump":
      return form.source === "x" ? "x" : `#${hex(k)}`;
    case "ja":
      return String((index + 1 + k) | 0);
    case "ret":
      return insn.code === BPF_RET ? `#${k | 0}` : "";
    default:
      return "";
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

// eBPF instructions with labels, as the translation of classic BPF makes them.
import { AsmError } from "../../diag/index.ts";
import { BPF_JA, BPF_JMP } from "../../uapi/index.ts";

interface Insn {
  readonly code: number;
  readonly dst: number;
  readonly src: number;
  readonly off: number;
  readonly imm: number;
  readonly label: number;
  /** The classic instruction that this one comes from, for errors. */
  readonly origin: number;
}

const NO_LABEL = -1;

export class Emitter {
  readonly #insns: Insn[] = [];
  readonly #labels: number[];
  #origin = 0;

  /** Labels 0 .. count-1 are the classic instructions'. */
  constructor(count: number) {
    this.#labels = new Array<number>(count).fill(NO_LABEL);
  }

  /** What follows is the translation of classic instruction `index`. */
  begin(index: number): void {
    this.#origin = index;
    this.mark(index);
  }

  label(): number {
    return this.#labels.push(NO_LABEL) - 1;
  }

  mark(label: number): void {
    this.#labels[label] = this.#insns.length;
  }

  emit(code: number, dst: number, src: number, off: number, imm: number): void {
    this.#insns.push({ code, dst, src, off, imm, label: NO_LABEL, origin: this.#origin });
  }

  jump(code: number, dst: number, src: number, imm: number, label: number): void {
    this.#insns.push({ code, dst, src, off: 0, imm, label, origin: this.#origin });
  }

  goto(label: number): void {
    this.jump(BPF_JMP | BPF_JA, 0, 0, 0, label);
  }

  /** Slots of 8 bytes, little-endian. */
  finish(): Uint8Array {
    const bytes = new Uint8Array(this.#insns.length * 8);
    const view = new DataView(bytes.buffer);
    this.#insns.forEach((insn, i) => {
      const off = insn.label === NO_LABEL ? insn.off : this.#labels[insn.label]! - i - 1;
      if (off < -0x8000 || off > 0x7fff)
        throw new AsmError(`the jump is too long once translated (${off} instructions)`, {
          insn: insn.origin,
        });
      view.setUint8(i * 8, insn.code);
      view.setUint8(i * 8 + 1, (insn.src << 4) | insn.dst);
      view.setInt16(i * 8 + 2, off, true);
      view.setInt32(i * 8 + 4, insn.imm | 0, true);
    });
    return bytes;
  }
}

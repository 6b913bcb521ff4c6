/** What must be precise while instructions are walked backwards: struct backtrack_state. */
import type { Env } from "../env.ts";
import { MAX_CALL_FRAMES } from "../state/state.ts";

/** "r0,r2" for 0x5: fmt_reg_mask(). */
export function maskText(mask: number): string {
  const names: string[] = [];
  for (let r = 0; r < 32; r++) if ((mask >>> r) & 1) names.push(`r${r}`);
  return names.join(",");
}

/** "-8,-24" for 0x5: fmt_stack_mask(). */
export function slotMaskText(lo: number, high: number): string {
  const names: string[] = [];
  for (let s = 0; s < 64; s++)
    if (((s < 32 ? lo >>> s : high >>> (s - 32)) & 1) !== 0) names.push(`${-(s + 1) * 8}`);
  return names.join(",");
}

export class Backtrack {
  frame = 0;
  readonly regs: Int32Array = new Int32Array(MAX_CALL_FRAMES);
  readonly slotsLo: Int32Array = new Int32Array(MAX_CALL_FRAMES);
  readonly slotsHi: Int32Array = new Int32Array(MAX_CALL_FRAMES);

  reset(frame: number): void {
    this.frame = frame;
    this.regs.fill(0);
    this.slotsLo.fill(0);
    this.slotsHi.fill(0);
  }

  isEmpty(): boolean {
    let mask = 0;
    for (let i = 0; i <= this.frame; i++) mask |= this.regs[i]! | this.slotsLo[i]! | this.slotsHi[i]!;
    return mask === 0;
  }

  hasReg(r: number): boolean {
    return ((this.regs[this.frame]! >>> r) & 1) !== 0;
  }
  setReg(r: number): void {
    this.regs[this.frame]! |= 1 << r;
  }
  clearReg(r: number): void {
    this.regs[this.frame]! &= ~(1 << r);
  }
  setFrameReg(frame: number, r: number): void {
    this.regs[frame]! |= 1 << r;
  }

  hasSlot(frame: number, spi: number): boolean {
    return ((spi < 32 ? this.slotsLo[frame]! >>> spi : this.slotsHi[frame]! >>> (spi - 32)) & 1) !== 0;
  }
  setSlot(frame: number, spi: number): void {
    if (spi < 32) this.slotsLo[frame]! |= 1 << spi;
    else this.slotsHi[frame]! |= 1 << (spi - 32);
  }
  clearSlot(frame: number, spi: number): void {
    if (spi < 32) this.slotsLo[frame]! &= ~(1 << spi);
    else this.slotsHi[frame]! &= ~(1 << (spi - 32));
  }
  frameHasSlots(): boolean {
    return (this.slotsLo[this.frame]! | this.slotsHi[this.frame]!) !== 0;
  }
  slotsText(frame: number): string {
    return slotMaskText(this.slotsLo[frame]!, this.slotsHi[frame]!);
  }

  /** As HistoryEntry.linked packs a register or slot. */
  hasPacked(packed: number): boolean {
    const frame = packed & 7;
    const index = (packed >> 3) & 63;
    return packed & 512 ? ((this.regs[frame]! >>> index) & 1) !== 0 : this.hasSlot(frame, index);
  }
  addPacked(packed: number): void {
    if (packed & 512) this.setFrameReg(packed & 7, (packed >> 3) & 63);
    else this.setSlot(packed & 7, (packed >> 3) & 63);
  }

  /** Backwards over a function's exit, into it. */
  enter(env: Env): void {
    if (this.frame === MAX_CALL_FRAMES - 1)
      env.bug(`backtracking enters a function from frame ${this.frame}`);
    this.frame++;
  }
  /** Backwards over a function's start, to its caller. */
  leave(env: Env): void {
    if (this.frame === 0) env.bug("backtracking leaves a function at frame 0");
    this.frame--;
  }
}

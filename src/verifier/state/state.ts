/**
 * The abstract machine at one point of one path: struct bpf_verifier_state, bpf_func_state and bpf_stack_state.
 * Copies share registers and slots (see reg.ts); whoever changes one owns it first.
 */
import type { RegState } from "./reg.ts";

export const MAX_BPF_REG = 11;
export const BPF_REG_SIZE = 8;
export const MAX_BPF_STACK = 512;
export const MAX_CALL_FRAMES = 8;

/** enum bpf_stack_slot_type; four bits a byte. */
export const STACK_INVALID = 0;
export const STACK_SPILL = 1;
export const STACK_MISC = 2;
export const STACK_ZERO = 3;
export const STACK_DYNPTR = 4;
export const STACK_ITER = 5;
export const STACK_IRQ_FLAG = 6;
export const STACK_POISON = 7;

/**
 * Eight bytes of stack. `types` holds a STACK_* in each nibble: byte i (0 = lowest address... as the kernel's
 * slot_type[i]) in bits 4i..4i+3. Immutable once `shared`, as RegState.
 */
export class StackSlot {
  shared = false;
  types = 0;
  spilled: RegState;
  constructor(types: number, spilled: RegState) {
    this.types = types;
    this.spilled = spilled;
  }
  typeAt(byte: number): number {
    return (this.types >>> (byte * 4)) & 15;
  }
  setType(byte: number, type: number): void {
    this.types = (this.types & ~(15 << (byte * 4))) | (type << (byte * 4));
  }
}

/** An acquired reference, lock or saved IRQ state: struct bpf_reference_state. */
export interface Reference {
  /** REF_TYPE_*. */
  readonly type: number;
  readonly id: number;
  readonly insnIdx: number;
  /** Locks: what holds the lock (a map, or a BTF of an allocated object). */
  readonly ptr: object | null;
  /** Kernels before 6.14: the callback's frame that took it, or 0. */
  readonly callbackFrame: number;
}

export const REF_TYPE_PTR = 1;
export const REF_TYPE_LOCK = 2;
export const REF_TYPE_RES_LOCK = 4;
export const REF_TYPE_RES_LOCK_IRQ = 8;
export const REF_TYPE_IRQ = 16;

/** What a callback may return: struct bpf_retval_range. */
export interface RetvalRange {
  readonly min: number;
  readonly max: number;
}

/** One called function. */
export class FuncState {
  readonly regs: RegState[];
  /** Slot 0 is fp-8. */
  readonly stack: StackSlot[];
  /** Bit r: register r is precise. Bits of `stackPrecise*`: the spilled register in slot i (Lo: 0..31, Hi: 32..63). */
  precise = 0;
  stackPreciseLo = 0;
  stackPreciseHi = 0;
  /** Written since the last checkpoint, as bits: what REG_LIVE_WRITTEN was to the logs of kernels before 6.18. */
  written = 0;
  writtenSlotsLo = 0;
  writtenSlotsHi = 0;
  /** The call instruction in the caller; BPF_MAIN_FUNC (-1) for the outermost. */
  callsite = -1;
  frameno = 0;
  subprogno = 0;
  inCallbackFn = false;
  inAsyncCallbackFn = false;
  inExceptionCallbackFn = false;
  callbackRetRange: RetvalRange = { min: 0, max: 0 };
  callbackDepth = 0;
  /** How often this asynchronous callback was entered on the path. */
  asyncEntryCount = 0;
  /** Bytes of stack that the function was seen to use. */
  allocatedStack = 0;

  constructor(regs: RegState[], stack: StackSlot[]) {
    this.regs = regs;
    this.stack = stack;
  }

  clearWritten(): void {
    this.written = 0;
    this.writtenSlotsLo = 0;
    this.writtenSlotsHi = 0;
  }

  /** Register `r`, for writing. */
  own(r: number): RegState {
    const reg = this.regs[r]!;
    if (!reg.shared) return reg;
    return (this.regs[r] = reg.clone());
  }

  /** Makes register `dst` the same as `src`, precision included. */
  copyReg(dst: number, src: RegState, precise: boolean): void {
    src.shared = true;
    this.regs[dst] = src;
    if (precise) this.precise |= 1 << dst;
    else this.precise &= ~(1 << dst);
  }

  isPrecise(r: number): boolean {
    return ((this.precise >>> r) & 1) !== 0;
  }

  isSlotPrecise(spi: number): boolean {
    return ((spi < 32 ? this.stackPreciseLo >>> spi : this.stackPreciseHi >>> (spi - 32)) & 1) !== 0;
  }

  setSlotPrecise(spi: number, precise: boolean): void {
    if (spi < 32)
      this.stackPreciseLo = precise ? this.stackPreciseLo | (1 << spi) : this.stackPreciseLo & ~(1 << spi);
    else {
      const bit = 1 << (spi - 32);
      this.stackPreciseHi = precise ? this.stackPreciseHi | bit : this.stackPreciseHi & ~bit;
    }
  }

  /** Slot `spi`, for writing. */
  ownSlot(spi: number): StackSlot {
    const slot = this.stack[spi]!;
    if (!slot.shared) return slot;
    slot.spilled.shared = true;
    return (this.stack[spi] = new StackSlot(slot.types, slot.spilled));
  }

  /** The register spilled in slot `spi`, for writing. */
  ownSpilled(spi: number): RegState {
    const slot = this.ownSlot(spi);
    if (slot.spilled.shared) slot.spilled = slot.spilled.clone();
    return slot.spilled;
  }

  /** A copy that shares everything. */
  copy(): FuncState {
    const { regs, stack } = this;
    for (let i = 0; i < regs.length; i++) regs[i]!.shared = true;
    for (let i = 0; i < stack.length; i++) stack[i]!.shared = true;
    const c = new FuncState(regs.slice(), stack.slice());
    c.precise = this.precise;
    c.stackPreciseLo = this.stackPreciseLo;
    c.stackPreciseHi = this.stackPreciseHi;
    c.written = this.written;
    c.writtenSlotsLo = this.writtenSlotsLo;
    c.writtenSlotsHi = this.writtenSlotsHi;
    c.callsite = this.callsite;
    c.frameno = this.frameno;
    c.subprogno = this.subprogno;
    c.inCallbackFn = this.inCallbackFn;
    c.inAsyncCallbackFn = this.inAsyncCallbackFn;
    c.inExceptionCallbackFn = this.inExceptionCallbackFn;
    c.callbackRetRange = this.callbackRetRange;
    c.callbackDepth = this.callbackDepth;
    c.asyncEntryCount = this.asyncEntryCount;
    c.allocatedStack = this.allocatedStack;
    return c;
  }
}

/** An executed instruction on the current path since the last checkpoint: struct bpf_jmp_history_entry. */
export interface HistoryEntry {
  readonly idx: number;
  readonly prevIdx: number;
  /** INSN_F_*: a stack access through which frame and slot. */
  flags: number;
  /** Registers linked by id at a conditional jump: packed by vscalar's precision code. */
  linked: readonly number[] | null;
}

export class VerifierState {
  frames: FuncState[] = [];
  curframe = 0;
  parent: VerifierState | null = null;
  /** Unfinished continuations of this checkpoint; 0: fully explored. */
  branches = 0;
  insnIdx = 0;
  firstInsnIdx = 0;
  lastInsnIdx = 0;
  history: HistoryEntry[] = [];
  refs: readonly Reference[] = [];
  activeLocks = 0;
  activeLockId = 0;
  activeLockPtr: object | null = null;
  activePreemptLocks = 0;
  activeIrqId = 0;
  activeRcuLock = 0;
  speculative = false;
  inSleepable = false;
  cleaned = false;
  dfsDepth = 0;
  callbackUnrollDepth = 0;
  mayGotoDepth = 0;
  equalState: VerifierState | null = null;
  /** Checkpoints: paths that this one covered, and that it did not. */
  hitCount = 0;
  missCount = 0;

  /** A copy that shares registers and slots (copy_verifier_state()); `branches` is the copier's business. */
  copy(): VerifierState {
    const c = new VerifierState();
    const { frames } = this;
    for (let i = 0; i <= this.curframe; i++) c.frames.push(frames[i]!.copy());
    c.curframe = this.curframe;
    c.parent = this.parent;
    c.branches = this.branches;
    c.insnIdx = this.insnIdx;
    c.firstInsnIdx = this.firstInsnIdx;
    c.lastInsnIdx = this.lastInsnIdx;
    c.history = this.history.slice();
    c.refs = this.refs;
    c.activeLocks = this.activeLocks;
    c.activeLockId = this.activeLockId;
    c.activeLockPtr = this.activeLockPtr;
    c.activePreemptLocks = this.activePreemptLocks;
    c.activeIrqId = this.activeIrqId;
    c.activeRcuLock = this.activeRcuLock;
    c.speculative = this.speculative;
    c.inSleepable = this.inSleepable;
    c.dfsDepth = this.dfsDepth;
    c.callbackUnrollDepth = this.callbackUnrollDepth;
    c.mayGotoDepth = this.mayGotoDepth;
    c.equalState = this.equalState;
    return c;
  }

  get frame(): FuncState {
    return this.frames[this.curframe]!;
  }
  get regs(): RegState[] {
    return this.frames[this.curframe]!.regs;
  }
}

/**
 * Stack slots that may be read from an instruction on, gathered from what the explored paths really read and wrote (they
 * reach slots through pointers, so the instructions alone do not tell). Kept per function and chain of callers.
 * Answers to kernel/bpf/liveness.c of Linux 6.18.
 */
import type { Env, StackLiveness } from "../env.ts";
import { frameInsnIdx } from "../paths/equal.ts";
import { MAX_CALL_FRAMES, type VerifierState } from "../state/state.ts";
import { fallThrough, jumpTarget, type Postorder } from "./flow.ts";

/** Sets of slots, two words per instruction of the function. */
class FrameMasks {
  readonly read: Int32Array;
  readonly write: Int32Array;
  /** Written on every path from here. */
  readonly writeOnAll: Int32Array;
  readonly live: Int32Array;
  constructor(insns: number) {
    this.read = new Int32Array(insns * 2);
    this.write = new Int32Array(insns * 2);
    this.writeOnAll = new Int32Array(insns * 2);
    this.live = new Int32Array(insns * 2);
  }
}

/** A function entered through certain calls: struct func_instance. */
class Instance {
  readonly frames: (FrameMasks | null)[] = [];
  readonly writeSeen: Uint8Array;
  updated = false;
  readonly depth: number;
  readonly subprog: number;
  readonly start: number;
  readonly insns: number;
  readonly outer: Instance | null;
  /** The call in the outer function. */
  readonly callsite: number;
  readonly callees: Map<number, Instance> = new Map();
  constructor(env: Env, subprog: number, outer: Instance | null, callsite: number) {
    this.subprog = subprog;
    this.outer = outer;
    this.callsite = callsite;
    this.depth = outer === null ? 0 : outer.depth + 1;
    this.start = env.subprogs[subprog]!.start;
    this.insns = env.subprogs[subprog]!.end - this.start;
    this.writeSeen = new Uint8Array(this.insns);
    for (let f = 0; f <= this.depth; f++) this.frames.push(null);
  }

  masks(frame: number): FrameMasks {
    return (this.frames[frame] ??= new FrameMasks(this.insns));
  }

  addRead(frame: number, insn: number, lo: number, high: number): void {
    const { read } = this.masks(frame);
    const at = (insn - this.start) * 2;
    if (((lo & ~read[at]!) | (high & ~read[at + 1]!)) === 0) return;
    read[at]! |= lo;
    read[at + 1]! |= high;
    this.updated = true;
  }

  /** What was written at `insn` this time; what counts is what is written every time. */
  commitWrites(insn: number, lo: Int32Array, high: Int32Array): void {
    const k = insn - this.start;
    const seen = this.writeSeen[k] !== 0;
    for (let f = 0; f <= this.depth; f++) {
      if ((lo[f]! | high[f]!) === 0 && !seen) continue;
      if (this.frames[f] === null && (lo[f]! | high[f]!) === 0) continue;
      const { write } = this.masks(f);
      const newLo = seen ? write[k * 2]! & lo[f]! : lo[f]!;
      const newHi = seen ? write[k * 2 + 1]! & high[f]! : high[f]!;
      if (newLo === write[k * 2] && newHi === write[k * 2 + 1]) continue;
      write[k * 2] = newLo;
      write[k * 2 + 1] = newHi;
      this.updated = true;
    }
    this.writeSeen[k] = 1;
  }
}

export class StackLivenessRecord implements StackLiveness {
  private readonly postorder: Postorder;
  /** By subprogram. */
  private readonly roots: (Instance | undefined)[] = [];
  private current: Instance | null = null;
  /** The state and depth that `current` was found for. */
  private currentState: VerifierState | null = null;
  private currentDepth = -1;
  private insn = 0;
  private readonly writesLo: Int32Array = new Int32Array(MAX_CALL_FRAMES);
  private readonly writesHi: Int32Array = new Int32Array(MAX_CALL_FRAMES);

  constructor(postorder: Postorder) {
    this.postorder = postorder;
  }

  private root(env: Env, subprog: number): Instance {
    return (this.roots[subprog] ??= new Instance(env, subprog, null, -1));
  }

  /** The instance of frame `depth` of a state. */
  private lookup(env: Env, state: VerifierState, depth: number): Instance {
    let instance = this.root(env, state.frames[0]!.subprogno);
    for (let f = 1; f <= depth; f++) {
      const frame = state.frames[f]!;
      // Callbacks of one call may be different functions.
      const key = frame.callsite * 256 + frame.subprogno;
      let next = instance.callees.get(key);
      if (next === undefined) {
        next = new Instance(env, frame.subprogno, instance, frame.callsite);
        instance.callees.set(key, next);
      }
      instance = next;
    }
    return instance;
  }

  private ensure(env: Env): Instance {
    const { state } = env;
    if (
      this.current === null ||
      this.currentState !== state ||
      this.currentDepth !== state.curframe ||
      // The frame may be another than last time: calls one after the other in one state.
      (this.current.callsite !== state.frame.callsite && state.curframe > 0) ||
      this.current.subprog !== state.frame.subprogno
    ) {
      this.current = this.lookup(env, state, state.curframe);
      this.currentState = state;
      this.currentDepth = state.curframe;
    }
    return this.current;
  }

  begin(env: Env, insnIdx: number): void {
    this.ensure(env);
    this.insn = insnIdx;
    this.writesLo.fill(0);
    this.writesHi.fill(0);
  }

  commit(env: Env): void {
    const { current } = this;
    // A call or return has gone elsewhere: what it wrote is not known here.
    if (current === null || env.state !== this.currentState || env.state.curframe !== this.currentDepth)
      return;
    if (this.insn < current.start || this.insn >= current.start + current.insns) return;
    current.commitWrites(this.insn, this.writesLo, this.writesHi);
  }

  markRead(env: Env, frameno: number, insnIdx: number, spi: number): void {
    const lo = spi < 32 ? 1 << spi : 0;
    this.ensure(env).addRead(frameno, insnIdx, lo, spi < 32 ? 0 : 1 << (spi - 32));
  }

  leave(_env: Env): void {
    // What the callee did reaches its callers when somebody asks.
  }

  markWrite(_env: Env, frameno: number, spi: number): void {
    if (spi < 32) this.writesLo[frameno]! |= 1 << spi;
    else this.writesHi[frameno]! |= 1 << (spi - 32);
  }

  /** Which slots of frame `frameno` are alive in a checkpoint; the result is in `aliveLo` and `aliveHi`. */
  query(env: Env, state: VerifierState): void {
    this.aliveLo.fill(0);
    this.aliveHi.fill(0);
    const instances: Instance[] = [];
    for (let f = 0; f <= state.curframe; f++) instances.push(this.lookup(env, state, f));
    for (let f = state.curframe; f >= 0; f--) this.update(env, instances[f]!);
    for (let f = 0; f <= state.curframe; f++) {
      const instance = instances[f]!;
      let insn = frameInsnIdx(state, f);
      // Callers go on after the call, but for those whose call runs the callback again.
      if (f < state.curframe && !env.aux[insn]!.callsCallback) insn++;
      const at = (insn - instance.start) * 2;
      for (let of = 0; of <= f; of++) {
        const masks = instance.frames[of];
        if (masks === null || masks === undefined) continue;
        this.aliveLo[of]! |= masks.live[at] ?? 0;
        this.aliveHi[of]! |= masks.live[at + 1] ?? 0;
      }
    }
  }
  readonly aliveLo: Int32Array = new Int32Array(MAX_CALL_FRAMES);
  readonly aliveHi: Int32Array = new Int32Array(MAX_CALL_FRAMES);

  /** Works out `live`, and tells the caller what this function does to the caller's frames: bpf_update_live_stack(). */
  private update(env: Env, instance: Instance): void {
    for (let at: Instance | null = instance; at !== null; at = at.outer) {
      if (!at.updated) continue;
      this.solve(env, at);
      at.updated = false;
      const { outer } = at;
      if (outer === null) break;
      this.outLo.fill(0);
      this.outHi.fill(0);
      for (let f = 0; f <= outer.depth; f++) {
        const masks = at.frames[f];
        if (masks === null || masks === undefined) continue;
        this.outLo[f] = masks.writeOnAll[0]!;
        this.outHi[f] = masks.writeOnAll[1]!;
        outer.addRead(f, at.callsite, masks.live[0]!, masks.live[1]!);
      }
      outer.commitWrites(at.callsite, this.outLo, this.outHi);
    }
  }
  private readonly outLo: Int32Array = new Int32Array(MAX_CALL_FRAMES);
  private readonly outHi: Int32Array = new Int32Array(MAX_CALL_FRAMES);

  private solve(env: Env, instance: Instance): void {
    const { slots } = env;
    const { order, starts } = this.postorder;
    const from = starts[instance.subprog]!;
    const to = starts[instance.subprog + 1]!;
    for (let changed = true; changed; ) {
      changed = false;
      for (let f = 0; f <= instance.depth; f++) {
        const masks = instance.frames[f];
        if (masks === null || masks === undefined) continue;
        const { live, read, write, writeOnAll } = masks;
        for (let n = from; n < to; n++) {
          const i = order[n]!;
          const at = (i - instance.start) * 2;
          const next = fallThrough(slots, i);
          const target = jumpTarget(slots, i);
          let afterLo = 0;
          let afterHi = 0;
          let allLo = 0;
          let allHi = 0;
          if (next >= 0) {
            const k = (next - instance.start) * 2;
            afterLo = live[k] ?? 0;
            afterHi = live[k + 1] ?? 0;
            allLo = writeOnAll[k] ?? 0;
            allHi = writeOnAll[k + 1] ?? 0;
          }
          if (target >= 0) {
            const k = (target - instance.start) * 2;
            afterLo |= live[k]!;
            afterHi |= live[k + 1]!;
            allLo = next >= 0 ? allLo & writeOnAll[k]! : writeOnAll[k]!;
            allHi = next >= 0 ? allHi & writeOnAll[k + 1]! : writeOnAll[k + 1]!;
          }
          allLo |= write[at]!;
          allHi |= write[at + 1]!;
          const liveLo = (afterLo & ~write[at]!) | read[at]!;
          const liveHi = (afterHi & ~write[at + 1]!) | read[at + 1]!;
          if (
            liveLo === live[at] &&
            liveHi === live[at + 1] &&
            allLo === writeOnAll[at] &&
            allHi === writeOnAll[at + 1]
          )
            continue;
          live[at] = liveLo;
          live[at + 1] = liveHi;
          writeOnAll[at] = allLo;
          writeOnAll[at + 1] = allHi;
          changed = true;
        }
      }
    }
  }
}

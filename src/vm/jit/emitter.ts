import type { Slots } from "../../asm/index.ts";
import { InternalError } from "../../diag/index.ts";
import { CPU_BUDGET, POINTER_HIGH } from "../layout.ts";
import { WasmBytes } from "../wasm/bytes.ts";
import {
  I32,
  I64,
  OP_CALL,
  OP_GLOBAL_GET,
  OP_GLOBAL_SET,
  OP_I32_ADD,
  OP_I32_CONST,
  OP_I32_WRAP_I64,
  OP_I64_CONST,
  OP_I64_EXTEND_I32_U,
  OP_I64_LOAD,
  OP_I64_OR,
  OP_I64_STORE,
  OP_LOCAL_GET,
  OP_LOCAL_SET,
  OP_LOCAL_TEE,
  OP_RETURN,
} from "../wasm/opcodes.ts";
import type { CallSites } from "./calls.ts";
import type { FunctionFacts } from "./facts.ts";
import { type Groups, NO_GROUPS } from "./groups.ts";
import type { ModulePlan } from "./plan.ts";
import type { Ranges } from "./ranges.ts";
import { advance, VALUE_CONST, VALUE_FRAME, Values } from "./values.ts";

const FP = 0;
/** fp, r1..r5. */
const FUNCTION_PARAMS = 6;
/** fp, label: a part of a function that was split. */
const PART_PARAMS = 2;

/**
 * Emits one Wasm function. A BPF register has up to two views in locals: all 64 bits (i64), and the low 32 bits (i32).
 * `has64` and `has32` say which of them hold its current value; `zext`: the i32 view is the whole value. A constant and
 * a pointer into the own frame need neither.
 */
export class Emitter {
  out: WasmBytes = new WasmBytes(1024);
  readonly plan: ModulePlan;
  readonly slots: Slots;
  readonly calls: CallSites;
  readonly facts: FunctionFacts;
  readonly part: boolean;
  readonly values: Values = new Values();
  /** Scratch: what is known of one register before and after an instruction. */
  readonly before: Values = new Values();
  readonly after: Values = new Values();
  /** Checked mode: loads of the current block that share a check. */
  groups: Groups = NO_GROUPS;
  /** Checked mode: intervals of registers, where they are worth the time. */
  ranges: Ranges | undefined;
  /** Loads that a check emitted before covers. */
  readonly covered: Set<number> = new Set();
  has64 = 0;
  has32 = 0;
  zext = 0;

  readonly localTypes: number[] = [];
  private readonly params: number;
  private readonly wide: number[];
  private readonly narrow: number[] = new Array<number>(10).fill(-1);
  private readonly named = new Map<string, number>();
  private readonly frameSlots: number[] = [];

  /** `part`: of a function that was split. */
  constructor(plan: ModulePlan, facts: FunctionFacts, part: boolean) {
    this.plan = plan;
    this.part = part;
    this.params = part ? PART_PARAMS : FUNCTION_PARAMS;
    this.wide = part ? new Array<number>(10).fill(-1) : [-1, 1, 2, 3, 4, 5, -1, -1, -1, -1];
    this.slots = plan.program.slots;
    this.calls = plan.calls;
    this.facts = facts;
  }

  // ---- operand stack ---------------------------------------------------------------------------------------------

  op(opcode: number): void {
    this.out.u8(opcode);
  }
  i32(value: number): void {
    this.out.u8(OP_I32_CONST);
    this.out.s32(value);
  }
  i64(lo: number, hi: number): void {
    this.out.u8(OP_I64_CONST);
    this.out.s64(lo, hi);
  }
  /** A sign-extended 32-bit immediate. */
  imm64(value: number): void {
    this.i64(value, value >> 31);
  }
  get(local: number): void {
    this.out.u8(OP_LOCAL_GET);
    this.out.u32(local);
  }
  set(local: number): void {
    this.out.u8(OP_LOCAL_SET);
    this.out.u32(local);
  }
  tee(local: number): void {
    this.out.u8(OP_LOCAL_TEE);
    this.out.u32(local);
  }
  call(index: number): void {
    this.out.u8(OP_CALL);
    this.out.u32(index);
  }
  memory(opcode: number, offset: number): void {
    this.out.u8(opcode);
    this.out.u8(0);
    this.out.u32(offset);
  }
  /** Offset of the current CPU's block. */
  cpu(): void {
    this.out.u8(OP_GLOBAL_GET);
    this.out.u32(this.plan.cpuGlobal);
  }

  // ---- locals ----------------------------------------------------------------------------------------------------

  local(type: number): number {
    return this.params + this.localTypes.push(type) - 1;
  }

  /** One local for each name. */
  temp(name: string, type: number): number {
    let index = this.named.get(name);
    if (index === undefined) this.named.set(name, (index = this.local(type)));
    return index;
  }

  /** Returns from the BPF function with the i64 on the operand stack; `store`: the budget is still in its local. */
  leave(store = true): void {
    if (store) this.storeBudget();
    if (this.part) {
      this.setGlobal(this.plan.transfer(0));
      this.i32(-1);
    }
    this.op(OP_RETURN);
  }

  getGlobal(index: number): void {
    this.out.u8(OP_GLOBAL_GET);
    this.out.u32(index);
  }
  setGlobal(index: number): void {
    this.out.u8(OP_GLOBAL_SET);
    this.out.u32(index);
  }

  local64(reg: number): number {
    if (this.wide[reg] < 0) this.wide[reg] = this.local(I64);
    return this.wide[reg];
  }
  local32(reg: number): number {
    if (this.narrow[reg] < 0) this.narrow[reg] = this.local(I32);
    return this.narrow[reg];
  }

  /** Pushes the lower end of the frame. */
  frameBase(): void {
    this.get(this.frameLocal);
  }

  get frameLocal(): number {
    return this.temp("frame", I32);
  }

  get usesFrame(): boolean {
    return this.named.has("frame");
  }

  /** Emits elsewhere from now on; returns where it did so far. */
  swapOutput(out: WasmBytes): WasmBytes {
    const old = this.out;
    this.out = out;
    return old;
  }

  /** Rounds of loops that are left to an unverified program. */
  get budget(): number {
    return this.temp("budget", I64);
  }

  /** Passes of may_goto so far in this call of the function. */
  get mayGotoCounter(): number {
    return this.temp("may_goto", I32);
  }

  get usesMayGoto(): boolean {
    return this.named.has("may_goto");
  }

  private get counts(): boolean {
    return this.plan.checked && this.facts.hasLoop;
  }

  /** Stores the budget for others to go on with. */
  storeBudget(): void {
    if (!this.counts) return;
    this.cpu();
    this.get(this.budget);
    this.memory(OP_I64_STORE, CPU_BUDGET);
  }

  loadBudget(): void {
    if (!this.counts) return;
    this.cpu();
    this.memory(OP_I64_LOAD, CPU_BUDGET);
    this.set(this.budget);
  }

  /** The promoted slot at r10 + off. */
  slot(off: number, size: number): number {
    let index = this.frameSlots[-off];
    if (index === undefined) this.frameSlots[-off] = index = this.local(size === 8 ? I64 : I32);
    return index;
  }

  // ---- registers -------------------------------------------------------------------------------------------------

  /** Pushes the low 32 bits. */
  get32(reg: number): void {
    const { kind, lo } = this.values;
    if (kind[reg] === VALUE_CONST) this.i32(lo[reg]);
    else if (kind[reg] === VALUE_FRAME) {
      this.get(FP);
      if (lo[reg] !== 0) {
        this.i32(lo[reg]);
        this.op(OP_I32_ADD);
      }
    } else if (this.has32 & (1 << reg)) this.get(this.local32(reg));
    else {
      this.get(this.local64(reg));
      this.op(OP_I32_WRAP_I64);
    }
  }

  /** Pushes the whole value. */
  get64(reg: number): void {
    const { kind, lo, hi } = this.values;
    if (kind[reg] === VALUE_CONST) this.i64(lo[reg], hi[reg]);
    else if (kind[reg] === VALUE_FRAME) {
      this.get32(reg);
      this.pointer();
    } else if (this.has64 & (1 << reg) || !(this.has32 & (1 << reg))) {
      // In neither view: a call took it, and only code that the verifier finds dead reads it.
      this.get(this.local64(reg));
    } else {
      if (!(this.zext & (1 << reg)))
        throw new InternalError(`r${reg} is wanted in 64 bits, only its low half is known`);
      this.get(this.local32(reg));
      this.op(OP_I64_EXTEND_I32_U);
    }
  }

  /** Pushes an i64 whose low 32 bits are right. */
  getLow64(reg: number): void {
    if (this.values.isFree(reg) || this.has64 & (1 << reg)) this.get64(reg);
    else {
      this.get(this.local32(reg));
      this.op(OP_I64_EXTEND_I32_U);
    }
  }

  /** Turns the i32 offset on the stack into a 64-bit pointer. */
  pointer(): void {
    this.op(OP_I64_EXTEND_I32_U);
    this.i64(0, POINTER_HIGH);
    this.op(OP_I64_OR);
  }

  /** Pops an i32 as the low half of the register; `zext`: it is the whole of it. */
  set32(reg: number, zext: boolean): void {
    const bit = 1 << reg;
    this.set(this.local32(reg));
    this.has32 |= bit;
    this.has64 &= ~bit;
    this.zext = zext ? this.zext | bit : this.zext & ~bit;
  }

  set64(reg: number): void {
    const bit = 1 << reg;
    this.set(this.local64(reg));
    this.has64 |= bit;
    this.has32 &= ~bit;
    this.zext &= ~bit;
  }

  /** The register holds a value that no local carries. */
  forget(reg: number): void {
    const bit = ~(1 << reg);
    this.has64 &= bit;
    this.has32 &= bit;
    this.zext &= bit;
  }

  copy(dst: number, src: number, demand64: boolean): void {
    if (demand64 && this.has64 & (1 << src)) {
      this.get64(src);
      this.set64(dst);
    } else if (this.has32 & (1 << src)) {
      const zext = (this.zext & (1 << src)) !== 0;
      this.get32(src);
      this.set32(dst, zext);
    } else {
      this.get64(src);
      this.set64(dst);
    }
  }

  // ---- block boundaries ------------------------------------------------------------------------------------------

  /** Begins the function: parameters (and zeros for what was never set) are in the 64-bit views. */
  begin(): void {
    this.has64 = 0x3ff;
    this.has32 = 0;
    this.zext = 0;
  }

  /** Begins block `b`, with its expected views in place. */
  enter(b: number): void {
    const { views, values } = this.facts;
    values.read(b, this.values);
    this.has64 = views.wide[b];
    this.has32 = views.narrow[b];
    this.zext = views.zext[b];
  }

  /** Brings the views that block `b` expects into place; those that are there stay. */
  prepare(b: number): void {
    const wide = this.facts.views.wide[b] & ~this.has64;
    const narrow = this.facts.views.narrow[b] & ~this.has32;
    if ((wide | narrow) === 0) return;
    for (let r = 0; r < 10; r++) {
      const bit = 1 << r;
      if (wide & bit) {
        this.get64(r);
        this.set(this.local64(r));
        this.has64 |= bit;
      }
      if (narrow & bit) {
        const zext = this.values.isZext(r);
        this.get32(r);
        this.set(this.local32(r));
        this.has32 |= bit;
        if (zext) this.zext |= bit;
      }
    }
  }

  advance(i: number): void {
    advance(this.values, this.slots, i, this.plan);
  }
}

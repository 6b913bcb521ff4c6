import { InvalidProgramError } from "../../diag/index.ts";
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_JA,
  BPF_JMP,
  BPF_LD,
  BPF_LDX,
  BPF_PSEUDO_FUNC,
  BPF_ST,
  BPF_STX,
  BPF_X,
} from "../../uapi/index.ts";
import { CPU_STACK_TOP, FAULT_STACK, FRAME_SIZE, MAX_CALL_FRAMES } from "../layout.ts";
import { WasmBytes } from "../wasm/bytes.ts";
import {
  I32,
  I64,
  OP_BLOCK,
  OP_BR,
  OP_BR_TABLE,
  OP_CALL,
  OP_END,
  OP_I32_AND,
  OP_I32_CONST,
  OP_I32_GE_U,
  OP_I32_LOAD,
  OP_I32_LT_S,
  OP_I32_SHR_U,
  OP_I32_SUB,
  OP_I32_WRAP_I64,
  OP_I64_CONST,
  OP_I64_ROTL,
  OP_IF,
  OP_LOCAL_GET,
  OP_LOCAL_SET,
  OP_LOOP,
  OP_RETURN,
  OP_UNREACHABLE,
  VOID,
} from "../wasm/opcodes.ts";
import { emitBudget, emitFault, emitWindow } from "./check.ts";
import { emitAlu } from "./emit-alu.ts";
import { emitCall, emitCallx } from "./emit-call.ts";
import { emitCondition } from "./emit-jump.ts";
import { emitAtomic, emitLoad, emitStore, isDeadLoad } from "./emit-memory.ts";
import { emitPacketLoad } from "./emit-packet.ts";
import { Emitter } from "./emitter.ts";
import type { FunctionFacts } from "./facts.ts";
import { findGroups } from "./groups.ts";
import type { ModulePlan } from "./plan.ts";
import { CALL, CALLX, EXIT, isConditional, LD_IMM64 } from "./program.ts";
import { analyzeRanges } from "./ranges.ts";
import { findRotations, type Rotations } from "./rotate.ts";
import {
  type Layout,
  layOut,
  NODE_BLOCK,
  NODE_DISPATCH,
  NODE_ENTRY,
  NODE_LEAVE,
  NODE_LOAD,
  NODE_SET,
  type Shape,
} from "./shape.ts";
import { LABEL_BITS, MAX_PART, partShapes, wholeShape } from "./split.ts";
import { type NodeEmitter, structure } from "./structure.ts";
import { maxTrips } from "./trips.ts";

/** Parameter that carries the label into a part. */
const LABEL_PARAM = 1;
const FP = 0;

/** Defines the Wasm function (and, of a split one, the parts) of one BPF function. */
export function compileFunction(plan: ModulePlan, facts: FunctionFacts): void {
  const index = plan.functionIndex(facts.index);
  if (facts.fn.size <= MAX_PART) {
    compileShape(plan, facts, wholeShape(facts.fn), index, false);
    return;
  }
  const shapes = partShapes(facts.fn);
  const parts = shapes.map((shape) => {
    const part = plan.module.declare(plan.partType);
    compileShape(plan, facts, shape, part, true);
    return part;
  });
  defineDriver(plan, facts, index, parts);
}

function compileShape(
  plan: ModulePlan,
  facts: FunctionFacts,
  shape: Shape,
  index: number,
  part: boolean,
): void {
  const layout = layOut(shape);
  const e = new Emitter(plan, facts, part);
  if (plan.checked && facts.hasLoop && !part) e.ranges = analyzeRanges(layout, e.slots, facts, plan);
  structure(layout, e.out, new BlockEmitter(e, layout));
  e.op(OP_UNREACHABLE);
  e.op(OP_END);
  const code = prologue(e);
  code.append(e.out);
  plan.module.define(index, e.localTypes, code);
}

/** What runs before the body; made after it, when it is known which locals the body wants. */
function prologue(e: Emitter): WasmBytes {
  const body = e.swapOutput(new WasmBytes(64));
  if (!e.part && e.plan.checksDepth(e.facts.index)) emitDepthCheck(e);
  if (e.usesFrame) {
    e.get(FP);
    e.i32(FRAME_SIZE);
    e.op(OP_I32_SUB);
    e.set(e.frameLocal);
  }
  e.loadBudget();
  if (e.part && e.usesMayGoto) {
    e.getGlobal(e.plan.mayGotoGlobal);
    e.set(e.mayGotoCounter);
  }
  return e.swapOutput(body);
}

/** This function's frame must be one of the eight below the stack's top. */
function emitDepthCheck(e: Emitter): void {
  e.cpu();
  e.memory(OP_I32_LOAD, CPU_STACK_TOP);
  e.get(FP);
  e.op(OP_I32_SUB);
  e.i32(MAX_CALL_FRAMES * FRAME_SIZE);
  e.op(OP_I32_GE_U);
  e.op(OP_IF);
  e.op(VOID);
  emitFault(e, FAULT_STACK, e.facts.fn.start, FP);
  e.op(OP_END);
}

/** Calls part after part. */
function defineDriver(plan: ModulePlan, facts: FunctionFacts, index: number, parts: readonly number[]): void {
  const out = new WasmBytes(64);
  const label = 6;
  const op = (...bytes: number[]): void => {
    for (const byte of bytes) out.u8(byte);
  };
  const live = facts.demand.live[0];
  for (let r = 0; r < 10; r++) {
    if (!(live & (1 << r))) continue;
    // What is not a parameter was never set: zero, not what an earlier call left.
    if (r >= 1 && r <= 5) op(OP_LOCAL_GET, r);
    else op(OP_I64_CONST, 0);
    op(0x24);
    out.u32(plan.transfer(r));
  }
  op(OP_I32_CONST, 0, 0x24);
  out.u32(plan.mayGotoGlobal);
  op(OP_LOOP, VOID);
  for (let k = 0; k <= parts.length; k++) op(OP_BLOCK, VOID);
  op(OP_LOCAL_GET, label, OP_I32_CONST, 0, OP_I32_LT_S, 0x0d);
  out.u32(parts.length);
  op(OP_LOCAL_GET, label, OP_I32_CONST, LABEL_BITS, OP_I32_SHR_U, OP_BR_TABLE);
  out.u32(parts.length - 1);
  for (let k = 0; k < parts.length; k++) out.u32(k);
  parts.forEach((part, k) => {
    op(OP_END, OP_LOCAL_GET, FP, OP_LOCAL_GET, label, OP_I32_CONST);
    out.s32((1 << LABEL_BITS) - 1);
    op(OP_I32_AND, OP_CALL);
    out.u32(part);
    op(OP_LOCAL_SET, label, OP_BR);
    out.u32(parts.length - k);
  });
  op(OP_END, 0x23);
  out.u32(plan.transfer(0));
  op(OP_RETURN, OP_END, OP_UNREACHABLE, OP_END);
  plan.module.define(index, [I32], out);
}

class BlockEmitter implements NodeEmitter {
  private readonly e: Emitter;
  private readonly layout: Layout;
  /** Per node that is the only way into another one: the views at its end. */
  private readonly has64: number[] = [];
  private readonly has32: number[] = [];
  private readonly zext: number[] = [];
  /** Headers of loops whose rounds were paid for when they were entered. */
  private readonly paid = new Set<number>();

  constructor(e: Emitter, layout: Layout) {
    this.e = e;
    this.layout = layout;
  }

  body(node: number): void {
    const { e, layout } = this;
    const { shape } = layout;
    const block = shape.block[node];
    switch (shape.kind[node]) {
      case NODE_ENTRY:
        if (!e.part) {
          e.begin();
          for (let r = 1; r <= 5; r++) emitWindow(e, e.plan.slotCount + r, r);
          e.prepare(0);
        }
        return;
      case NODE_SET:
        e.i32(shape.label[node]);
        e.set(e.temp("label", I32));
        return;
      case NODE_DISPATCH:
        return;
      case NODE_LOAD:
        this.load(block);
        return;
      case NODE_LEAVE:
        this.leave(block, shape.label[node]);
        return;
    }
    e.enter(block);
    this.inherit(node);
    this.instructions(block);
    for (const to of shape.succ[node]) if (shape.block[to] >= 0) e.prepare(shape.block[to]);
    this.has64[node] = e.has64;
    this.has32[node] = e.has32;
    this.zext[node] = e.zext;
  }

  /** Behind its only predecessor, a block finds all views that this one left. */
  private inherit(node: number): void {
    const { e, layout } = this;
    const pred = layout.pred[node];
    if (pred.length !== 1 || layout.shape.kind[pred[0]] !== NODE_BLOCK) return;
    const live = e.facts.demand.live[layout.shape.block[node]];
    e.has64 |= this.has64[pred[0]] & live;
    e.has32 |= this.has32[pred[0]] & live;
    e.zext |= this.zext[pred[0]] & live;
  }

  condition(node: number, negate: boolean): void {
    emitCondition(this.e, this.e.facts.fn.last[this.layout.shape.block[node]] - 1, negate);
  }

  label(node: number): void {
    const { e, layout } = this;
    e.get(layout.shape.kind[node] === NODE_ENTRY ? LABEL_PARAM : e.temp("label", I32));
  }

  beforeLoop(node: number): void {
    const { e, layout } = this;
    if (!e.plan.checked) return;
    const trips = maxTrips(layout, node, e.slots, e.facts, e.plan);
    if (trips === undefined) return;
    this.paid.add(node);
    emitBudget(e, trips, this.loopInsn(node));
  }

  loopHead(node: number): void {
    if (this.e.plan.checked && !this.paid.has(node)) emitBudget(this.e, 1, this.loopInsn(node));
  }

  private loopInsn(node: number): number {
    const { fn } = this.e.facts;
    const block = this.layout.shape.block[node];
    return block >= 0 ? fn.first[block] : fn.start;
  }

  private load(block: number): void {
    const { e } = this;
    const wide = e.facts.views.wide[block];
    const narrow = e.facts.views.narrow[block];
    for (let r = 0; r < 10; r++) {
      const bit = 1 << r;
      if (!((wide | narrow) & bit)) continue;
      e.getGlobal(e.plan.transfer(r));
      if (wide & bit) e.set(e.local64(r));
      else {
        e.op(OP_I32_WRAP_I64);
        e.set(e.local32(r));
      }
    }
  }

  private leave(block: number, label: number): void {
    const { e } = this;
    const wide = e.facts.views.wide[block];
    const narrow = e.facts.views.narrow[block];
    e.enter(block);
    for (let r = 0; r < 10; r++) {
      if (!((wide | narrow) & (1 << r))) continue;
      e.getLow64(r);
      e.setGlobal(e.plan.transfer(r));
    }
    e.get(e.mayGotoCounter);
    e.setGlobal(e.plan.mayGotoGlobal);
    e.storeBudget();
    e.i32(label);
    e.op(OP_RETURN);
  }

  private instructions(block: number): void {
    const { e } = this;
    const { fn } = e.facts;
    const { op } = e.slots;
    const rotations = findRotations(e.slots, fn.first[block], fn.last[block]);
    if (e.plan.checked)
      e.groups = findGroups(
        e.slots,
        fn.first[block],
        fn.last[block],
        (i) => e.slots.dst[i] === 10 && e.slots.off[i] < 0,
        (i) => e.plan.probes(i),
      );
    const { ranges } = e;
    ranges?.enter(block);
    for (let i = fn.first[block]; i < fn.last[block]; i++) {
      const code = op[i];
      // Emission moves e.values on; the intervals follow when the instruction is done with.
      const before = i;
      ranges?.look(i, e.values);
      switch (code & 7) {
        case BPF_ALU:
        case BPF_ALU64:
          if (rotations.save.size === 0 || !this.rotation(i, rotations)) emitAlu(e, i);
          break;
        case BPF_LDX:
          if (isDeadLoad(e, i)) {
            e.advance(i);
            e.forget(e.slots.dst[i]);
          } else {
            emitLoad(e, i);
            emitWindow(e, i, e.slots.dst[i]);
          }
          break;
        case BPF_ST:
          emitStore(e, i, true);
          break;
        case BPF_STX:
          if ((code & 0xe0) === BPF_ATOMIC) emitAtomic(e, i);
          else emitStore(e, i, false);
          break;
        case BPF_LD:
          if (code !== LD_IMM64) emitPacketLoad(e, i);
          else {
            this.loadImmediate(i);
            i++;
          }
          break;
        default:
          this.jump(i);
      }
      ranges?.step(before);
    }
  }

  /** Does the part of a rotation that falls to slot `i`; true: the instruction is done with. */
  private rotation(i: number, { save, rotate }: Rotations): boolean {
    const { e } = this;
    const dst = e.slots.dst[i];
    const kept = save.get(i);
    if (kept !== undefined) {
      e.getLow64(dst);
      e.set(e.temp(`rotate${kept}`, I64));
    }
    const found = rotate.get(i);
    if (found === undefined) return false;
    e.get(e.temp(`rotate${found.temp}`, I64));
    e.i64(found.count, 0);
    e.op(OP_I64_ROTL);
    e.set64(dst);
    e.advance(i);
    return true;
  }

  private loadImmediate(i: number): void {
    const { e } = this;
    const dst = e.slots.dst[i];
    const src = e.slots.src[i];
    if (dst >= 10) throw new InvalidProgramError(`write to r${dst}`, i);
    if (src !== 0 && src !== BPF_PSEUDO_FUNC)
      throw new InvalidProgramError(`LD_IMM64 with unresolved source register ${src}`, i);
    e.advance(i);
    e.forget(dst);
  }

  private jump(i: number): void {
    const { e } = this;
    const code = e.slots.op[i];
    if (code === EXIT) {
      e.get64(0);
      e.leave();
    } else if (code === CALL || code === CALLX) {
      if (code === CALL) emitCall(e, i);
      else emitCallx(e, i);
      emitWindow(e, i, 0);
    } else if (!isConditional(code) && (code & 0xf0) !== BPF_JA)
      throw new InvalidProgramError(`unknown opcode 0x${code.toString(16)}`, i);
    else if (code === (BPF_JMP | BPF_JA | BPF_X) || (code & 0xf0) === BPF_CALL)
      throw new InvalidProgramError(`unknown opcode 0x${code.toString(16)}`, i);
    // Other jumps are the business of structure().
  }
}

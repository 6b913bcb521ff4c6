/**
 * Structured control flow from the dominator tree, after Norman Ramsey, "Beyond Relooper: recursive translation of
 * unstructured control flow to structured control flow" (2022), with an explicit stack in place of the recursion.
 *
 * A loop header opens a `loop`. A node with several forward predecessors follows a `block` that its immediate
 * dominator opens; branches leave that block. What a loop leads to follows a `block` around that loop: V8 unrolls
 * and peels only loops that hold nothing but themselves. Every other node stands where the branch to it is.
 */
import { InternalError } from "../../diag/index.ts";
import type { WasmBytes } from "../wasm/bytes.ts";
import {
  OP_BLOCK,
  OP_BR,
  OP_BR_IF,
  OP_BR_TABLE,
  OP_ELSE,
  OP_END,
  OP_IF,
  OP_LOOP,
  VOID,
} from "../wasm/opcodes.ts";
import { type Layout, NODE_DISPATCH, NODE_ENTRY } from "./shape.ts";

export interface NodeEmitter {
  /** Emits everything of the node but its transfer of control. */
  body(node: number): void;
  /** Leaves an i32 on the operand stack: take the first of the node's two successors (`negate`: the second)? */
  condition(node: number, negate: boolean): void;
  /** Leaves the label on the operand stack: the index among the successors of an entry or dispatch node. */
  label(node: number): void;
  /** Just before the loop that `node` heads is entered. */
  beforeLoop(node: number): void;
  /** Just inside the loop that `node` heads. */
  loopHead(node: number): void;
}

const TASK_TREE = 0;
const TASK_BRANCH = 1;
const TASK_ELSE = 2;
const TASK_END = 3;
const TASK_END_BLOCK = 4;

export function structure(layout: Layout, out: WasmBytes, emitter: NodeEmitter): void {
  const { shape, order, rank, pred, idom } = layout;
  const count = shape.succ.length;
  const isSwitch = (node: number): boolean =>
    shape.kind[node] === NODE_DISPATCH || (shape.kind[node] === NODE_ENTRY && shape.succ[node].length > 1);
  const isHeader = new Uint8Array(count);
  const isMerge = new Uint8Array(count);
  for (const node of order) {
    let forward = 0;
    for (const from of pred[node]) {
      if (rank[from] >= rank[node]) isHeader[node] = 1;
      else forward += isSwitch(from) ? 2 : 1;
    }
    // Both arms of one conditional jump may lead here; they count as two edges.
    if (forward > 1) isMerge[node] = 1;
  }
  const loopOf = findLoops(layout, isHeader);
  // Merge nodes below their dominator, and what follows loops by the loop's header, in reverse postorder.
  const merges: (number[] | undefined)[] = new Array(count);
  const exits: (number[] | undefined)[] = new Array(count);
  for (const node of order) {
    const left = loopLeft(node, idom[node], loopOf);
    if (left >= 0) {
      (exits[left] ??= []).push(node);
      isMerge[node] = 1;
    } else if (isMerge[node]) (merges[idom[node]] ??= []).push(node);
  }

  // Depth (number of open constructs) just inside the node's loop, and just inside the block that ends before it.
  const loopDepth = new Int32Array(count);
  const blockDepth = new Int32Array(count);
  let depth = 0;
  const isJump = (from: number, to: number): boolean => rank[to] <= rank[from] || isMerge[to] === 1;
  const distance = (from: number, to: number): number => {
    const inside = rank[to] <= rank[from] ? loopDepth[to] : blockDepth[to];
    if (inside === 0) throw new InternalError(`no construct to branch to node ${to} from ${from}`);
    return depth - inside;
  };

  const tasks: number[] = [];
  const push = (task: number, a: number, b: number): void => {
    tasks.push(b, a, task);
  };
  const branch = (from: number, to: number): void => {
    if (isJump(from, to)) {
      out.u8(OP_BR);
      out.u32(distance(from, to));
    } else push(TASK_TREE, to, 0);
  };

  const openBlocks = (following: readonly number[] | undefined): void => {
    if (following === undefined) return;
    for (let i = following.length - 1; i >= 0; i--) {
      out.u8(OP_BLOCK);
      out.u8(VOID);
      blockDepth[following[i]] = ++depth;
      push(TASK_END_BLOCK, following[i], 0);
    }
  };

  push(TASK_TREE, 0, 0);
  while (tasks.length > 0) {
    const task = tasks.pop()!;
    const a = tasks.pop()!;
    const b = tasks.pop()!;
    switch (task) {
      case TASK_BRANCH:
        branch(a, b);
        continue;
      case TASK_ELSE:
        out.u8(OP_ELSE);
        continue;
      case TASK_END:
        out.u8(OP_END);
        depth--;
        continue;
      case TASK_END_BLOCK:
        out.u8(OP_END);
        depth--;
        blockDepth[a] = 0;
        push(TASK_TREE, a, 0);
        continue;
    }
    const node = a;
    const succ = shape.succ[node];
    openBlocks(exits[node]);
    if (isHeader[node]) {
      emitter.beforeLoop(node);
      out.u8(OP_LOOP);
      out.u8(VOID);
      loopDepth[node] = ++depth;
      emitter.loopHead(node);
      push(TASK_END, 0, 0);
    }
    openBlocks(merges[node]);
    emitter.body(node);
    if (succ.length === 0) continue;
    if (isSwitch(node)) {
      emitter.label(node);
      out.u8(OP_BR_TABLE);
      out.u32(succ.length - 1);
      for (const to of succ) out.u32(distance(node, to));
      continue;
    }
    if (succ.length === 1 || succ[0] === succ[1]) {
      branch(node, succ[0]);
      continue;
    }
    const [yes, no] = succ;
    if (isJump(node, yes)) {
      emitter.condition(node, false);
      out.u8(OP_BR_IF);
      out.u32(distance(node, yes));
      branch(node, no);
    } else if (isJump(node, no)) {
      emitter.condition(node, true);
      out.u8(OP_BR_IF);
      out.u32(distance(node, no));
      branch(node, yes);
    } else {
      emitter.condition(node, false);
      out.u8(OP_IF);
      out.u8(VOID);
      depth++;
      push(TASK_END, 0, 0);
      push(TASK_BRANCH, node, no);
      push(TASK_ELSE, 0, 0);
      push(TASK_TREE, yes, 0);
    }
  }
}

/** Innermost loops, as headers: of a node, and of a header the loop around its own. -1: none. */
interface Loops {
  readonly innermost: Int32Array;
  readonly around: Int32Array;
}

function findLoops({ shape, order, rank, pred }: Layout, isHeader: Uint8Array): Loops {
  const innermost = new Int32Array(shape.succ.length).fill(-1);
  const around = new Int32Array(shape.succ.length).fill(-1);
  // Inner loops come first; a later loop finds whole loops where it walks into one.
  for (let k = order.length - 1; k >= 0; k--) {
    const header = order[k];
    if (!isHeader[header]) continue;
    const work: number[] = [];
    const enter = (node: number): void => {
      let at = node;
      if (innermost[at] >= 0) {
        at = innermost[at];
        while (around[at] >= 0 && at !== header) at = around[at];
      }
      if (at === header) return;
      if (innermost[at] < 0) innermost[at] = header;
      else around[at] = header;
      work.push(at);
    };
    innermost[header] = header;
    for (const from of pred[header]) if (rank[from] >= rank[header]) enter(from);
    for (let node = work.pop(); node !== undefined; node = work.pop())
      for (const from of pred[node]) if (innermost[node] !== node || rank[from] < rank[node]) enter(from);
  }
  return { innermost, around };
}

/** Header of the outermost loop that `dominator` is in and `node` is not; -1: none. */
function loopLeft(node: number, dominator: number, { innermost, around }: Loops): number {
  if (dominator < 0) return -1;
  let loop = innermost[dominator];
  let left = -1;
  const own = innermost[node] === node ? around[node] : innermost[node];
  for (; loop >= 0 && loop !== own; loop = around[loop]) left = loop;
  return loop === own || own < 0 ? left : -1;
}

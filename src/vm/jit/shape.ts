/**
 * The flow graph that one Wasm function is made from: BPF basic blocks plus the nodes that structuring adds.
 *
 *   entry     where the function begins; no predecessors. One successor, or one for each label of a part (split.ts)
 *   block     a BPF basic block
 *   set       "label = n", then to a dispatch node
 *   dispatch  br_table over the label: the single header of a loop that had several
 *   load      part entry: fetches what `block` wants from the transfer globals
 *   leave     part exit: leaves it there and returns the label of `block`
 */
import { dominators, predecessors, reversePostorder } from "./graph.ts";

export const NODE_ENTRY = 0;
export const NODE_BLOCK = 1;
export const NODE_SET = 2;
export const NODE_DISPATCH = 3;
export const NODE_LOAD = 4;
export const NODE_LEAVE = 5;

export class Shape {
  readonly kind: number[] = [];
  /** block, load, leave: the BPF block; set: the block that the label stands for. -1 otherwise. */
  readonly block: number[] = [];
  /** set: the label's value; leave: the label to return. */
  readonly label: number[] = [];
  readonly succ: number[][] = [];

  add(kind: number, block = -1, label = 0, succ: number[] = []): number {
    this.kind.push(kind);
    this.block.push(block);
    this.label.push(label);
    return this.succ.push(succ) - 1;
  }
}

/** A reducible shape with what structuring reads. */
export interface Layout {
  readonly shape: Shape;
  readonly order: readonly number[];
  /** Position in `order`; -1 = unreachable. */
  readonly rank: Int32Array;
  readonly pred: readonly (readonly number[])[];
  readonly idom: Int32Array;
}

/** Loops nested deeper than this get one dispatch node for all their blocks. */
const MAX_NESTING = 40;

/** Orders the shape from node 0 on; loops with several entries get a dispatch node first. */
export function layOut(shape: Shape): Layout {
  let layout = measure(shape);
  if (!isReducible(layout)) {
    const all: number[] = [];
    for (const node of layout.order) if (node !== 0) all.push(node);
    reduce(shape, all);
    layout = measure(shape);
  }
  return layout;
}

function measure(shape: Shape): Layout {
  const order = reversePostorder(shape.succ, 0);
  const rank = new Int32Array(shape.succ.length).fill(-1);
  for (let i = 0; i < order.length; i++) rank[order[i]] = i;
  return { shape, order, rank, pred: predecessors(shape.succ, order), idom: dominators(shape.succ, 0) };
}

/** Every retreating edge leads to a dominator of its source. */
function isReducible({ shape, order, rank, idom }: Layout): boolean {
  let retreats = false;
  for (const node of order) for (const to of shape.succ[node]) if (rank[to] <= rank[node]) retreats = true;
  if (!retreats) return true;
  // Intervals of a walk over the dominator tree answer "a dominates b" in constant time.
  const children: number[][] = shape.succ.map(() => []);
  for (const node of order) if (idom[node] >= 0) children[idom[node]].push(node);
  const enter = new Int32Array(shape.succ.length);
  const leave = new Int32Array(shape.succ.length);
  let clock = 0;
  const stack: number[] = [0];
  while (stack.length > 0) {
    const node = stack.pop()!;
    if (node < 0) leave[~node] = clock;
    else {
      enter[node] = clock++;
      stack.push(~node, ...children[node]);
    }
  }
  for (const node of order)
    for (const to of shape.succ[node])
      if (rank[to] <= rank[node] && !(enter[to] <= enter[node] && leave[node] <= leave[to])) return false;
  return true;
}

/** Gives every cycle among `nodes` a single header, from the outermost inward. */
function reduce(shape: Shape, nodes: readonly number[]): void {
  const work: { nodes: readonly number[]; depth: number }[] = [{ nodes, depth: 0 }];
  for (let item = work.pop(); item !== undefined; item = work.pop()) {
    for (const component of cycles(shape.succ, item.nodes)) {
      const inside = new Set(component);
      const pred = predecessorsOf(shape, inside);
      let headers = component.filter((node) => pred.get(node)!.some((from) => !inside.has(from)));
      if (item.depth >= MAX_NESTING) headers = component;
      let rest: number[];
      if (headers.length === 1) rest = component.filter((node) => node !== headers[0]);
      else rest = [...component, ...dispatchTo(shape, headers, inside, pred)];
      if (item.depth < MAX_NESTING) work.push({ nodes: rest, depth: item.depth + 1 });
    }
  }
}

function predecessorsOf(shape: Shape, inside: ReadonlySet<number>): Map<number, number[]> {
  const pred = new Map<number, number[]>();
  for (const node of inside) pred.set(node, []);
  for (let from = 0; from < shape.succ.length; from++)
    for (const to of shape.succ[from]) pred.get(to)?.push(from);
  return pred;
}

/** Routes every edge to one of `headers` through a new dispatch node; returns the set nodes inside the loop. */
function dispatchTo(
  shape: Shape,
  headers: readonly number[],
  inside: ReadonlySet<number>,
  pred: ReadonlyMap<number, readonly number[]>,
): number[] {
  const dispatch = shape.add(NODE_DISPATCH, -1, 0, [...headers]);
  const inner: number[] = [];
  headers.forEach((header, label) => {
    const target = shape.block[header];
    for (const within of [false, true]) {
      const sources = new Set(pred.get(header)!.filter((from) => inside.has(from) === within));
      if (sources.size === 0) continue;
      const set = shape.add(NODE_SET, target, label, [dispatch]);
      if (within) inner.push(set);
      for (const from of sources) shape.succ[from] = shape.succ[from].map((to) => (to === header ? set : to));
    }
  });
  return inner;
}

/** Strongly connected components of the subgraph on `nodes` that hold a cycle (Tarjan's algorithm). */
export function cycles(succ: readonly (readonly number[])[], nodes: readonly number[]): number[][] {
  const member = new Uint8Array(succ.length);
  for (const node of nodes) member[node] = 1;
  const index = new Int32Array(succ.length).fill(-1);
  const low = new Int32Array(succ.length);
  const onStack = new Uint8Array(succ.length);
  const stack: number[] = [];
  const result: number[][] = [];
  let clock = 0;
  for (const root of nodes) {
    if (index[root] >= 0) continue;
    const path: number[] = [root];
    const next: number[] = [0];
    index[root] = low[root] = clock++;
    stack.push(root);
    onStack[root] = 1;
    while (path.length > 0) {
      const top = path.length - 1;
      const node = path[top];
      const list = succ[node];
      const k = next[top]++;
      if (k < list.length) {
        const to = list[k];
        if (!member[to]) continue;
        if (index[to] < 0) {
          index[to] = low[to] = clock++;
          stack.push(to);
          onStack[to] = 1;
          path.push(to);
          next.push(0);
        } else if (onStack[to]) low[node] = Math.min(low[node], index[to]);
        continue;
      }
      path.pop();
      next.pop();
      if (top > 0) low[path[top - 1]] = Math.min(low[path[top - 1]], low[node]);
      if (low[node] !== index[node]) continue;
      const component: number[] = [];
      for (;;) {
        const last = stack.pop()!;
        onStack[last] = 0;
        component.push(last);
        if (last === node) break;
      }
      if (component.length > 1 || succ[node].includes(node)) result.push(component);
    }
  }
  return result;
}

/**
 * Splits a BPF function that is too large for one Wasm function: V8's optimiser takes more than linear time.
 *
 * Its blocks, in reverse postorder, are cut into parts of bounded size; each becomes a Wasm function
 * `(fp, label) -> label`. A part runs until control leaves it, puts what the next block reads into globals, and returns
 * that block's label; a driver with the BPF function's own type calls the next part. Nothing else runs between, so the
 * globals are free for nested calls.
 */
import type { BpfFunction } from "./program.ts";
import { NODE_BLOCK, NODE_ENTRY, NODE_LEAVE, NODE_LOAD, Shape } from "./shape.ts";

/** Functions above this many slots are split, into parts of at most so many. */
export const MAX_PART = 3000;

/** A label is the part's number above these bits, and the index among the part's entries below. */
export const LABEL_BITS = 16;

/** The whole function as one shape. */
export function wholeShape(fn: BpfFunction): Shape {
  const shape = new Shape();
  shape.add(NODE_ENTRY, -1, 0, [1]);
  addBlocks(shape, fn, fn.order, (b) => b);
  return shape;
}

/** Adds nodes for `blocks`, all of whose successors `resolve` turns into blocks of the list or into ready nodes. */
function addBlocks(
  shape: Shape,
  fn: BpfFunction,
  blocks: readonly number[],
  outside: (block: number) => number,
): Map<number, number> {
  const nodeOf = new Map<number, number>();
  for (const b of blocks) nodeOf.set(b, shape.add(NODE_BLOCK, b));
  for (const b of blocks) shape.succ[nodeOf.get(b)!] = fn.succ[b].map((to) => nodeOf.get(to) ?? outside(to));
  return nodeOf;
}

/** One shape for each part. The first part's first label is where the function begins. */
export function partShapes(fn: BpfFunction): Shape[] {
  const partOf = new Int32Array(fn.first.length);
  const parts: number[][] = [[]];
  let size = 0;
  for (const b of fn.order) {
    const length = fn.last[b] - fn.first[b];
    if (size + length > MAX_PART && size > 0) {
      parts.push([]);
      size = 0;
    }
    partOf[b] = parts.length - 1;
    parts[parts.length - 1].push(b);
    size += length;
  }
  const entries: number[][] = parts.map(() => []);
  const labelOf = new Int32Array(fn.first.length).fill(-1);
  const enter = (b: number): void => {
    if (labelOf[b] < 0) labelOf[b] = (partOf[b] << LABEL_BITS) | (entries[partOf[b]].push(b) - 1);
  };
  enter(fn.order[0]);
  for (const b of fn.order) for (const to of fn.succ[b]) if (partOf[to] !== partOf[b]) enter(to);
  return parts.map((blocks, part) => {
    const shape = new Shape();
    shape.add(NODE_ENTRY);
    const leaving = new Map<number, number>();
    const nodeOf = addBlocks(shape, fn, blocks, (to) => {
      let node = leaving.get(to);
      if (node === undefined) leaving.set(to, (node = shape.add(NODE_LEAVE, to, labelOf[to])));
      return node;
    });
    shape.succ[0] = entries[part].map((b) => shape.add(NODE_LOAD, b, 0, [nodeOf.get(b)!]));
    return shape;
  });
}

// Orders and dominators of a flow graph given as successor lists. Everything is iterative: a hostile program must not
// exhaust the stack.

/** Nodes reachable from `entry`, in reverse postorder. */
export function reversePostorder(succ: readonly (readonly number[])[], entry: number): number[] {
  const seen = new Uint8Array(succ.length);
  const order: number[] = [];
  const stack: number[] = [entry];
  const next: number[] = [0];
  seen[entry] = 1;
  while (stack.length > 0) {
    const top = stack.length - 1;
    const list = succ[stack[top]];
    // From the last successor on, so that the first one (the taken branch) ends up behind the fall-through.
    const k = next[top]++;
    if (k === list.length) {
      order.push(stack[top]);
      stack.pop();
      next.pop();
      continue;
    }
    const to = list[k];
    if (seen[to]) continue;
    seen[to] = 1;
    stack.push(to);
    next.push(0);
  }
  return order.reverse();
}

export function predecessors(succ: readonly (readonly number[])[], order: readonly number[]): number[][] {
  const pred: number[][] = succ.map(() => []);
  for (const from of order) for (const to of succ[from]) pred[to].push(from);
  return pred;
}

/**
 * Immediate dominators of the nodes reachable from `entry` (-1 for the entry itself and for unreachable nodes).
 * Lengauer and Tarjan's algorithm with path compression: O(m log n) whatever the graph.
 */
export function dominators(succ: readonly (readonly number[])[], entry: number): Int32Array {
  const count = succ.length;
  const vertex: number[] = [];
  const number = new Int32Array(count).fill(-1);
  const parent: number[] = [];
  const stack: number[] = [entry];
  const from: number[] = [-1];
  while (stack.length > 0) {
    const node = stack.pop()!;
    const above = from.pop()!;
    if (number[node] >= 0) continue;
    const n = vertex.push(node) - 1;
    number[node] = n;
    parent.push(above);
    for (const to of succ[node])
      if (number[to] < 0) {
        stack.push(to);
        from.push(n);
      }
  }
  const n = vertex.length;
  const pred: number[][] = vertex.map(() => []);
  for (let v = 0; v < n; v++) for (const to of succ[vertex[v]]) pred[number[to]].push(v);
  const semi = new Int32Array(n);
  const label = new Int32Array(n);
  const ancestor = new Int32Array(n).fill(-1);
  const idom = new Int32Array(n).fill(-1);
  const bucket: number[][] = vertex.map(() => []);
  for (let v = 0; v < n; v++) semi[v] = label[v] = v;
  const path: number[] = [];
  const evaluate = (v: number): number => {
    if (ancestor[v] < 0) return v;
    for (let u = v; ancestor[ancestor[u]] >= 0; u = ancestor[u]) path.push(u);
    while (path.length > 0) {
      const u = path.pop()!;
      const a = ancestor[u];
      if (semi[label[a]] < semi[label[u]]) label[u] = label[a];
      ancestor[u] = ancestor[a];
    }
    return label[v];
  };
  for (let w = n - 1; w > 0; w--) {
    for (const v of pred[w]) semi[w] = Math.min(semi[w], semi[evaluate(v)]);
    bucket[semi[w]].push(w);
    const p = parent[w];
    ancestor[w] = p;
    for (const v of bucket[p]) {
      const u = evaluate(v);
      idom[v] = semi[u] < semi[v] ? u : p;
    }
    bucket[p].length = 0;
  }
  const result = new Int32Array(count).fill(-1);
  for (let w = 1; w < n; w++) {
    if (idom[w] !== semi[w]) idom[w] = idom[idom[w]];
    result[vertex[w]] = vertex[idom[w]];
  }
  return result;
}

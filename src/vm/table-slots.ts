import { TABLE_BASE } from "./layout.ts";

/** Indices of the shared function table from TABLE_BASE on, handed out in runs to whoever puts functions there. */
export class TableSlots {
  private readonly table: WebAssembly.Table;
  private readonly free = new Map<number, number[]>();
  private next: number = TABLE_BASE;

  constructor(table: WebAssembly.Table) {
    this.table = table;
  }

  /** The first of `count` free indices in a row. */
  take(count: number): number {
    const known = this.free.get(count)?.pop();
    if (known !== undefined) return known;
    const base = this.next;
    this.next += count;
    if (this.next > this.table.length) this.table.grow(this.next - this.table.length + 64);
    return base;
  }

  /** The functions there are no more; the indices will be handed out again. */
  release(base: number, count: number): void {
    for (let k = 0; k < count; k++) this.table.set(base + k, null);
    const list = this.free.get(count);
    if (list === undefined) this.free.set(count, [base]);
    else list.push(base);
  }
}

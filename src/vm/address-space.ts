import { InternalError, LoadError } from "../diag/index.ts";
import { ENOMEM } from "../uapi/index.ts";
import { type CoreExports, loadCore } from "./core.ts";
import {
  CPU_BLOCK_BASE,
  CPU_BLOCK_SIZE,
  CPU_ID,
  CPU_RANDOM,
  CPU_STACK_BASE,
  CPU_STACK_SIZE,
  CPU_STACK_TOP,
  FRAME_SIZE,
  MAX_CPUS,
  SHADOW_BASE,
  SHADOW_SHIFT,
  TABLE_BASE,
} from "./layout.ts";
import { TableSlots } from "./table-slots.ts";

/** What a bounds-checked program may do with an object: nothing, read it, read and write it. */
export type Permission = "none" | "r" | "rw";

const PERMISSION_BITS: Readonly<Record<Permission, number>> = { none: 0, r: 1, rw: 3 };

const PAGE = 0x10000;
const MIN_BYTES = 4 << 20;
const MAX_BYTES = 2 ** 32 - PAGE;

export interface AddressSpaceOptions {
  /** Size of the whole space in bytes, rounded up to 64 KiB; a quarter of it is shadow. Default 512 MiB. */
  readonly maxBytes?: number;
  /** CPUs with a block and a stack each, 1..16. Default 2. */
  readonly cpus?: number;
}

/** Allocations not yet freed: the bytes asked for, and how many. */
export interface Allocated {
  readonly bytes: number;
  readonly blocks: number;
}

/**
 * The one linear memory of an embedded kernel (layout.ts draws the map): allocator, permissions for the bounds-checked
 * mode, the CPUs' blocks and stacks, the shared function table, and the core module that works on all of it.
 */
export class AddressSpace {
  readonly maxBytes: number;
  readonly cpus: number;
  readonly memory: WebAssembly.Memory;
  readonly table: WebAssembly.Table;
  /** Who asks for an index of the table gets it here. */
  readonly tableSlots: TableSlots;
  /** Mutable i32: offset of the current CPU's block. Change it through selectCpu. */
  readonly cpu: WebAssembly.Global<"i32">;
  readonly core: CoreExports;
  /** Offsets of the two shadow tables. */
  readonly shadowRead: number = SHADOW_BASE;
  readonly shadowWrite: number;
  /** First byte that alloc may hand out. */
  readonly heapBase: number;
  readonly #jsFunctions: ((cpuBlock: number) => void)[] = [];
  readonly #jsIds = new Map<(cpuBlock: number) => void, number>();
  readonly #coreIndices = new Map<string, number>();

  #u8: Uint8Array | undefined;
  #u16: Uint16Array | undefined;
  #u32: Uint32Array | undefined;
  #i32: Int32Array | undefined;
  #dv: DataView | undefined;

  constructor(options: AddressSpaceOptions = {}) {
    const { maxBytes = 512 << 20, cpus = 2 } = options;
    if (!(maxBytes >= MIN_BYTES && maxBytes <= MAX_BYTES))
      throw new LoadError(`address space of ${maxBytes} bytes: want ${MIN_BYTES}..${MAX_BYTES}`, ENOMEM);
    if (!(Number.isInteger(cpus) && cpus >= 1 && cpus <= MAX_CPUS))
      throw new LoadError(`${cpus} CPUs: want 1..${MAX_CPUS}`);
    this.maxBytes = Math.ceil(maxBytes / PAGE) * PAGE;
    this.cpus = cpus;
    const shadow = this.maxBytes / 2 ** SHADOW_SHIFT;
    this.shadowWrite = SHADOW_BASE + shadow;
    this.heapBase = SHADOW_BASE + 2 * shadow;
    try {
      this.memory = new WebAssembly.Memory({
        initial: Math.ceil(this.heapBase / PAGE) + 1,
        maximum: this.maxBytes / PAGE,
      });
    } catch (cause) {
      throw new LoadError(`no memory for an address space of ${this.maxBytes} bytes`, ENOMEM, { cause });
    }
    this.table = new WebAssembly.Table({ element: "anyfunc", initial: TABLE_BASE });
    this.tableSlots = new TableSlots(this.table);
    this.cpu = new WebAssembly.Global({ value: "i32", mutable: true }, CPU_BLOCK_BASE);
    this.core = loadCore({
      env: {
        memory: this.memory,
        table: this.table,
        cpu: this.cpu,
        js_helper: (id: number) => this.#jsFunctions[id]!(this.cpu.value),
      },
    });
    this.core["init"]!(this.maxBytes);
    for (let n = 0; n < cpus; n++) {
      const block = CPU_BLOCK_BASE + n * CPU_BLOCK_SIZE;
      const stack = CPU_STACK_BASE + n * CPU_STACK_SIZE;
      this.dv.setUint32(block + CPU_ID, n, true);
      this.dv.setUint32(block + CPU_STACK_TOP, stack + CPU_STACK_SIZE, true);
      // Any seed but zero; programs that want a known sequence set their own.
      this.dv.setUint32(block + CPU_RANDOM, 0x9e3779b9 + n, true);
      for (let frame = 0; frame < CPU_STACK_SIZE; frame += FRAME_SIZE)
        this.paint(stack + frame, FRAME_SIZE, "rw");
    }
  }

  /** Views of the whole memory. Fetch anew after anything that may allocate: growth detaches the old ones. */
  get u8(): Uint8Array {
    const view = this.#u8;
    return view !== undefined && view.length !== 0 ? view : (this.#u8 = new Uint8Array(this.memory.buffer));
  }
  get u16(): Uint16Array {
    const view = this.#u16;
    return view !== undefined && view.length !== 0 ? view : (this.#u16 = new Uint16Array(this.memory.buffer));
  }
  get u32(): Uint32Array {
    const view = this.#u32;
    return view !== undefined && view.length !== 0 ? view : (this.#u32 = new Uint32Array(this.memory.buffer));
  }
  get i32(): Int32Array {
    const view = this.#i32;
    return view !== undefined && view.length !== 0 ? view : (this.#i32 = new Int32Array(this.memory.buffer));
  }
  get dv(): DataView {
    const view = this.#dv;
    return view !== undefined && view.buffer === this.memory.buffer
      ? view
      : (this.#dv = new DataView(this.memory.buffer));
  }

  /**
   * `size` zero bytes at a multiple of `align` (a power of two; 16 at least is given), painted `perm`.
   * Throws LoadError ENOMEM when the space is exhausted.
   */
  alloc(size: number, perm: Permission, align = 8): number {
    const addr = size >= 0 && size < this.maxBytes ? this.core["alloc"]!(size, align) >>> 0 : 0;
    if (addr === 0)
      throw new LoadError(`no room for ${size} bytes (aligned to ${align}) in ${this.maxBytes}`, ENOMEM);
    if (perm !== "none") this.paint(addr, size, perm);
    return addr;
  }

  /** Gives an allocation back and unpaints it. */
  free(addr: number): void {
    if (!this.core["release"]!(addr))
      throw new InternalError(`free(0x${addr.toString(16)}): not an allocation`);
  }

  /**
   * Says what programs may do with [addr, addr + size): the painted bytes become one object, whose ends no access may
   * straddle. An object that grows, shrinks or moves is unpainted and painted again as a whole.
   */
  paint(addr: number, size: number, perm: Permission): void {
    this.core["paint"]!(addr, size, PERMISSION_BITS[perm]);
  }

  /** May a program read (write) the `n` bytes at `addr`? */
  canRead(addr: number, n: number): boolean {
    return this.core["check_read"]!(addr, n) !== 0;
  }
  canWrite(addr: number, n: number): boolean {
    return this.core["check_write"]!(addr, n) !== 0;
  }

  get allocated(): Allocated {
    return {
      bytes: this.core["allocated_bytes"]!() >>> 0,
      blocks: this.core["allocated_blocks"]!() >>> 0,
    };
  }

  /** What `env.js_helper` takes to call `fn` with the offset of the current CPU's block. */
  jsFunction(fn: (cpuBlock: number) => void): number {
    let id = this.#jsIds.get(fn);
    if (id === undefined) {
      id = this.#jsFunctions.push(fn) - 1;
      this.#jsIds.set(fn, id);
    }
    return id;
  }

  /** Index in the shared table of the core's export `name`, for calls that are not linked at compile time. */
  coreFunction(name: string): number {
    let index = this.#coreIndices.get(name);
    if (index === undefined) {
      const fn = this.core[name];
      if (fn === undefined) throw new InternalError(`the core exports no ${name}`);
      index = this.tableSlots.take(1);
      this.table.set(index, fn);
      this.#coreIndices.set(name, index);
    }
    return index;
  }

  /** Offset of CPU `n`'s block. */
  cpuBlock(n: number): number {
    return CPU_BLOCK_BASE + n * CPU_BLOCK_SIZE;
  }

  /** Makes `n` the CPU that programs and helpers run on. */
  selectCpu(n: number): void {
    if (!(Number.isInteger(n) && n >= 0 && n < this.cpus))
      throw new InternalError(`CPU ${n} of ${this.cpus} selected`);
    this.cpu.value = this.cpuBlock(n);
  }

  get currentCpu(): number {
    return (this.cpu.value - CPU_BLOCK_BASE) / CPU_BLOCK_SIZE;
  }
}

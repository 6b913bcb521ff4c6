/** Our engines and the running kernel behind one face, for tools that compare them. */
import { encode, type Insn, ldImm64, mov64Imm } from "../src/asm/index.ts";
import { LinuxBackend } from "../src/linux/index.ts";
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_PROG_TYPE_SYSCALL,
  BPF_PSEUDO_MAP_VALUE,
  errnoName,
} from "../src/uapi/index.ts";
import {
  type AccessMode,
  AddressSpace,
  CPU_RESULT,
  CPU_STACK_BASE,
  CPU_STACK_SIZE,
  createInterpreter,
  createJit,
  type Engine,
  type HelperBinding,
  POINTER_HIGH,
} from "../src/vm/index.ts";

/** A program run once over one block of memory. */
export interface Outcome {
  /** Low 32 bits of r0. */
  readonly retval: number;
  readonly memory: Uint8Array;
}

/**
 * Takes a program whose LD_IMM64 with BPF_PSEUDO_MAP_VALUE (fd 0, high half = offset) stand for the address of
 * `memory`, and runs it. A refusal or a fault is text.
 */
export interface Target {
  readonly name: string;
  /**
   * `variant` 0 or 1 changes what a well-defined program cannot see: where the memory lies, and with our engines what
   * r1 and the stack hold before.
   */
  run(insns: readonly Insn[], memory: Uint8Array, variant?: number): Outcome | string;
  /** Starts over after a program that may have broken something. */
  reset(): void;
  close(): void;
}

export type EngineName = "interp" | "jit" | "jit-checked";
export const ENGINE_NAMES: readonly EngineName[] = ["interp", "jit", "jit-checked"];

export function modeOf(name: EngineName): AccessMode {
  return name === "jit" ? "unchecked" : "checked";
}

export function makeEngine(name: EngineName, space: AddressSpace): Engine {
  const options = { budget: BUDGET };
  return name === "interp" ? createInterpreter(space, options) : createJit(space, options);
}

/** The pointer that a program sees for an offset. */
export function pointerTo(offset: number): bigint {
  return (BigInt(POINTER_HIGH) << 32n) | BigInt(offset >>> 0);
}

function isMemory(insn: Insn): boolean {
  return insn.imm64 !== undefined && insn.src === BPF_PSEUDO_MAP_VALUE;
}

/** Steps (the JIT: rounds of loops) after which a checked program counts as hanging. */
const BUDGET = 10_000_000;

/** One of our engines over an address space of its own. */
export class EngineTarget implements Target {
  readonly name: EngineName;
  space!: AddressSpace;
  private engine!: Engine;
  private readonly helper: (id: number) => HelperBinding | undefined;
  private next = 1;

  constructor(
    name: EngineName,
    helper: (id: number, space: AddressSpace) => HelperBinding | undefined = () => undefined,
  ) {
    this.name = name;
    this.helper = (id) => helper(id, this.space);
    this.reset();
  }

  reset(): void {
    this.space = new AddressSpace({ maxBytes: 16 << 20 });
    this.engine = makeEngine(this.name, this.space);
  }

  run(insns: readonly Insn[], memory: Uint8Array, variant = 0): Outcome | string {
    const { space } = this;
    try {
      const spacer = variant === 0 ? 0 : space.alloc(4096, "none");
      const at = memory.length === 0 ? 0 : space.alloc(memory.length, "rw");
      space.u8.set(memory, at);
      space.u8.fill(variant === 0 ? 0xa5 : 0x5a, CPU_STACK_BASE, CPU_STACK_BASE + CPU_STACK_SIZE);
      const linked = insns.map((insn) =>
        isMemory(insn) ? ldImm64(insn.dst, pointerTo(at + Number(insn.imm64! >> 32n))) : insn,
      );
      const program = this.engine.load({
        id: this.next++,
        name: "vector",
        insns: encode(linked),
        maps: [],
        mode: modeOf(this.name),
        helper: this.helper,
        kfunc: () => undefined,
      });
      const retval = program.run(variant * 64) >>> 0;
      const out = space.u8.slice(at, at + memory.length);
      program.dispose();
      if (at !== 0) space.free(at);
      if (spacer !== 0) space.free(spacer);
      return { retval, memory: out };
    } catch (error) {
      this.reset();
      return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    }
  }

  /** r0 of the last run, all of it. */
  result(): bigint {
    return this.space.dv.getBigUint64(this.space.cpu.value + CPU_RESULT, true);
  }

  close(): void {}
}

/** This machine's kernel: the memory is an array's only value, the program runs unattached by BPF_PROG_TEST_RUN. */
export class KernelTarget implements Target {
  readonly name = "kernel";
  private readonly kernel: LinuxBackend;
  private readonly maps = new Map<string, number>();

  private constructor(kernel: LinuxBackend) {
    this.kernel = kernel;
  }

  static async open(): Promise<KernelTarget> {
    return new KernelTarget(await LinuxBackend.open());
  }

  /** The map of that value size; kept for the next program. */
  private map(size: number, variant: number): number {
    const known = this.maps.get(`${size} ${variant}`);
    if (known !== undefined) return known;
    const fd = this.kernel.mapCreate({
      map_type: BPF_MAP_TYPE_ARRAY,
      key_size: 4,
      value_size: size,
      max_entries: 1,
    });
    if (fd < 0) throw new Error(`an array of ${size} bytes: ${errnoName(fd)}`);
    this.maps.set(`${size} ${variant}`, fd);
    return fd;
  }

  run(insns: readonly Insn[], memory: Uint8Array, variant = 0): Outcome | string {
    const { kernel } = this;
    const map = memory.length > 0 ? this.map(memory.length, variant) : 0;
    const linked = insns.map((insn) =>
      isMemory(insn) ? { ...insn, imm64: (insn.imm64! & ~0xffffffffn) | BigInt(map) } : insn,
    );
    const attr = {
      prog_type: BPF_PROG_TYPE_SYSCALL,
      insns: encode(linked),
      license: "GPL",
      prog_flags: BPF_F_SLEEPABLE,
    };
    const { fd } = kernel.progLoad(attr);
    if (fd < 0) return kernel.progLoad({ ...attr, log_level: 1 }).log || errnoName(fd);
    try {
      const key = new Uint8Array(4);
      if (map) kernel.mapUpdateElem(map, key, memory);
      const { err, retval } = kernel.progTestRun(fd, {});
      if (err < 0) return `BPF_PROG_TEST_RUN: ${errnoName(err)}`;
      const out = new Uint8Array(memory.length);
      if (map) kernel.mapLookupElem(map, key, out);
      return { retval, memory: out };
    } finally {
      kernel.close(fd);
    }
  }

  reset(): void {}

  close(): void {
    for (const fd of this.maps.values()) this.kernel.close(fd);
    this.maps.clear();
  }
}

const BPF_F_SLEEPABLE = 1 << 4;

/** r1 = address of the memory (0: none), r2 = its size, before a program. */
export function withMemoryArguments(memory: Uint8Array): Insn[] {
  const address = memory.length > 0 ? ldImm64(1, 0, BPF_PSEUDO_MAP_VALUE) : mov64Imm(1, 0);
  return [address, mov64Imm(2, memory.length)];
}

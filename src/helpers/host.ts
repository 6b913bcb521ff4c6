import { ProgramFault } from "../diag/index.ts";
import {
  type AddressSpace,
  CPU_ARGS,
  CPU_CTX,
  CPU_FAULT_INSN,
  CPU_RESULT,
  FAULT_READ,
  FAULT_WRITE,
} from "../vm/index.ts";

/** Whom a program finds as `current`. */
export interface Task {
  pid: number;
  tgid: number;
  uid: number;
  gid: number;
  /** At most 15 characters. */
  comm: string;
  /** Of the default hierarchy; the root cgroup is 1. */
  cgroupId: number;
}

/** A network device as helpers know it. */
export interface NetDevice {
  readonly ifindex: number;
  readonly name: string;
  readonly mtu: number;
  readonly hardHeaderLen: number;
  readonly rxQueues: number;
}

/** What helpers in JavaScript need of the kernel that they serve. */
export interface HelperHost {
  readonly space: AddressSpace;
  readonly clock: { monotonicNs(): number; realNs(): number };
  readonly task: Task;
  device(ifindex: number): NetDevice | undefined;
  /** Whether the DEVMAP, CPUMAP or XSKMAP whose header stands at `map` has a target under `key`. */
  redirectTarget(map: number, key: number): boolean;
  /** One message of bpf_trace_printk. */
  trace(message: string): void;
}

/** r1..r5 of a call, its result, and the memory that it names. One object serves all calls of a kernel. */
export class CallFrame {
  readonly #space: AddressSpace;
  #cpu = 0;

  constructor(space: AddressSpace) {
    this.#space = space;
  }

  enter(cpuBlock: number): void {
    this.#cpu = cpuBlock;
  }

  get space(): AddressSpace {
    return this.#space;
  }

  get cpu(): number {
    return this.#cpu;
  }

  /** Low half of r`n`, unsigned. */
  u32(n: number): number {
    return this.#space.u32[(this.#cpu + CPU_ARGS + 8 * (n - 1)) >>> 2]!;
  }

  /** Low half of r`n`, signed. */
  i32(n: number): number {
    return this.#space.i32[(this.#cpu + CPU_ARGS + 8 * (n - 1)) >>> 2]!;
  }

  /** High half of r`n`. */
  high(n: number): number {
    return this.#space.u32[(this.#cpu + CPU_ARGS + 8 * (n - 1) + 4) >>> 2]!;
  }

  u64(n: number): bigint {
    return this.#space.dv.getBigUint64(this.#cpu + CPU_ARGS + 8 * (n - 1), true);
  }

  /** Leaves r0: an errno, a count, or a whole number up to 2^53; a bigint for all 64 bits. */
  result(value: number | bigint): void {
    if (typeof value === "bigint") {
      this.#space.dv.setBigUint64(this.#cpu + CPU_RESULT, BigInt.asUintN(64, value), true);
      return;
    }
    const at = (this.#cpu + CPU_RESULT) >>> 2;
    this.#space.u32[at] = value;
    this.#space.u32[at + 1] = Math.floor(value / 0x100000000);
  }

  /** Offset of `size` bytes at r`n` that the program may read; a fault otherwise. */
  readable(n: number, size: number): number {
    const at = this.u32(n);
    if (size !== 0 && !this.#space.canRead(at, size)) this.fault(FAULT_READ, this.u64(n), size);
    return at;
  }

  writable(n: number, size: number): number {
    const at = this.u32(n);
    if (size !== 0 && !this.#space.canWrite(at, size)) this.fault(FAULT_WRITE, this.u64(n), size);
    return at;
  }

  /** ARG_PTR_TO_CTX. */
  context(n: number): number {
    const at = this.u32(n);
    if (at !== this.#space.u32[(this.#cpu + CPU_CTX) >>> 2]) this.fault(FAULT_READ, this.u64(n), 0);
    return at;
  }

  /** Bytes of a zero-terminated string at r`n`, without the zero; at most `limit` of them. */
  string(n: number, limit: number): Uint8Array {
    const start = this.u32(n);
    let end = start;
    while (end - start < limit) {
      if (!this.#space.canRead(end, 1)) this.fault(FAULT_READ, this.u64(n), end - start + 1);
      if (this.#space.u8[end] === 0) break;
      end++;
    }
    return this.#space.u8.slice(start, end);
  }

  fault(code: number, address: bigint, size: number): never {
    const insn = this.#space.u32[(this.#cpu + CPU_FAULT_INSN) >>> 2]!;
    throw new ProgramFault(
      `helper argument: ${size} bytes at 0x${address.toString(16)} are not the program's to ${code === FAULT_WRITE ? "write" : "read"}`,
      { fault: code, insn, address },
    );
  }
}

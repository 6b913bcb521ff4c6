import { readFileSync } from "node:fs";
import { UnsupportedError } from "../diag/index.ts";

/** What bpf(2) is called through: `attr` is a `union bpf_attr`; the answer is non-negative, or a negative errno. */
export interface BpfSyscall {
  bpf(cmd: number, attr: Uint8Array): number;
  /** Address of a buffer's first byte, for the pointers inside `union bpf_attr`. The caller keeps the buffer alive. */
  address(bytes: Uint8Array): bigint;
  close(fd: number): number;
}

/** __NR_bpf. */
const BPF_SYSCALL_NUMBER: Readonly<Record<string, number>> = {
  x64: 321,
  arm64: 280,
  riscv64: 280,
  loong64: 280,
};

/** The calls of koffi that are used here. It is an optional peer, so its types must not reach published declarations. */
interface Koffi {
  load(path: string | null): { func(definition: string): (...args: unknown[]) => unknown };
  errno(): number;
  address(value: unknown): bigint;
}

async function importKoffi(): Promise<Koffi> {
  const name = "koffi";
  try {
    return ((await import(name)) as { default: Koffi }).default;
  } catch (cause) {
    throw new UnsupportedError("bpf(2) without the optional package koffi", "npm install koffi brings it", {
      cause,
    });
  }
}

export async function openSyscall(): Promise<BpfSyscall> {
  if (process.platform !== "linux")
    throw new UnsupportedError(`bpf(2) on ${process.platform}`, "it is Linux's");
  const number = BPF_SYSCALL_NUMBER[process.arch];
  if (number === undefined) throw new UnsupportedError(`bpf(2) on the architecture ${process.arch}`);
  const koffi = await importKoffi();
  const libc = koffi.load(null);
  const syscall = libc.func("long syscall(long number, int cmd, uint8_t *attr, unsigned int size)");
  const closeFd = libc.func("int close(int fd)");
  return {
    bpf(cmd, attr) {
      const result = syscall(number, cmd, attr, attr.length) as number;
      return result < 0 ? -koffi.errno() : result;
    },
    address: (bytes) => (bytes.length === 0 ? 0n : koffi.address(bytes)),
    close: (fd) => ((closeFd(fd) as number) < 0 ? -koffi.errno() : 0),
  };
}

/** num_possible_cpus(): `0-3,8` of sysfs counts five. */
export function readPossibleCpus(): number {
  const text = readFileSync("/sys/devices/system/cpu/possible", "utf8").trim();
  let count = 0;
  for (const range of text.split(",")) {
    const [first, last] = range.split("-").map(Number);
    count += (last ?? first!) - first! + 1;
  }
  return count;
}

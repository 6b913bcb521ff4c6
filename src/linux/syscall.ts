// The calls into libc that the backend is made of, through the optional package koffi.
import { readFileSync } from "node:fs";
import { UnsupportedError } from "../diag/index.ts";

/** What the backend asks of the machine. Answers are non-negative, or a negative errno. */
export interface Syscalls {
  readonly pageSize: number;
  /** `attr` is a `union bpf_attr`. */
  bpf(cmd: number, attr: Uint8Array): number;
  /** Address of a buffer's first byte, for pointers inside structs. The caller keeps the buffer alive. */
  address(bytes: Uint8Array): bigint;
  open(path: string, flags: number): number;
  close(fd: number): number;
  read(fd: number, into: Uint8Array): number;
  write(fd: number, bytes: Uint8Array): number;
  ioctl(fd: number, request: number, argument: number): number;
  /** A shared mapping of a file descriptor, or a negative errno. */
  mmap(fd: number, length: number, protection: number, offset: number): Mapping | number;
  perfEventOpen(attr: Uint8Array, pid: number, cpu: number, groupFd: number, flags: number): number;
  epollCreate(): number;
  epollCtl(epoll: number, op: number, fd: number, event: Uint8Array): number;
  /** Waits on another thread. */
  epollWait(epoll: number, events: Uint8Array, max: number, timeoutMs: number): Promise<number>;
  eventfd(): number;
  socket(domain: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  bind(fd: number, address: Uint8Array): number;
  /** setrlimit(2) to RLIM_INFINITY. */
  setUnlimited(resource: number): number;
}

/** Memory shared with the kernel. `buffer` is dead after unmap(). */
export interface Mapping {
  readonly buffer: ArrayBuffer;
  unmap(): void;
}

export const PROT_READ = 1;
export const PROT_WRITE = 2;
const MAP_SHARED = 1;
const SC_PAGESIZE = 30;
const O_CLOEXEC = 0o2000000;
const EPOLL_CLOEXEC: number = O_CLOEXEC;
const EFD_CLOEXEC: number = O_CLOEXEC;
const EFD_NONBLOCK = 0o4000;

/** __NR_bpf and __NR_perf_event_open. */
const NUMBERS: Readonly<Record<string, { readonly bpf: number; readonly perfEventOpen: number }>> = {
  x64: { bpf: 321, perfEventOpen: 298 },
  arm64: { bpf: 280, perfEventOpen: 241 },
  riscv64: { bpf: 280, perfEventOpen: 241 },
  loong64: { bpf: 280, perfEventOpen: 241 },
};

interface KoffiFunction {
  (...args: unknown[]): unknown;
  async(...args: unknown[]): void;
}

/** The calls of koffi that are used here. It is an optional peer, so its types must not reach published declarations. */
interface Koffi {
  load(path: string | null): { func(definition: string): KoffiFunction };
  errno(): number;
  address(value: unknown): bigint | number;
  view(address: bigint, length: number): ArrayBuffer;
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

export async function openSyscalls(): Promise<Syscalls> {
  if (process.platform !== "linux")
    throw new UnsupportedError(`bpf(2) on ${process.platform}`, "it is Linux's");
  const numbers = NUMBERS[process.arch];
  if (numbers === undefined) throw new UnsupportedError(`bpf(2) on the architecture ${process.arch}`);
  const koffi = await importKoffi();
  const libc = koffi.load(null);
  const checked = (definition: string): ((...args: unknown[]) => number) => {
    const fn = libc.func(definition);
    return (...args) => {
      const result = Number(fn(...args));
      return result < 0 ? -koffi.errno() : result;
    };
  };
  const bpf = checked("long syscall(long number, int cmd, uint8_t *attr, unsigned int size)");
  const perfEventOpen = checked(
    "long syscall(long number, uint8_t *attr, int pid, int cpu, int group_fd, unsigned long flags)",
  );
  const open = checked("int open(const char *path, int flags)");
  const close = checked("int close(int fd)");
  const read = checked("long read(int fd, uint8_t *buf, size_t count)");
  const write = checked("long write(int fd, uint8_t *buf, size_t count)");
  const ioctl = checked("int ioctl(int fd, unsigned long request, unsigned long arg)");
  const epollCreate = checked("int epoll_create1(int flags)");
  const epollCtl = checked("int epoll_ctl(int epfd, int op, int fd, uint8_t *event)");
  const epollWait = libc.func("int epoll_wait(int epfd, uint8_t *events, int max, int timeout)");
  const eventfd = checked("int eventfd(unsigned int initval, int flags)");
  const socket = checked("int socket(int domain, int type, int protocol)");
  const setsockopt = checked("int setsockopt(int fd, int level, int name, uint8_t *value, uint32_t len)");
  const bind = checked("int bind(int fd, uint8_t *address, uint32_t len)");
  const setrlimit = checked("int setrlimit(int resource, uint8_t *limit)");
  // The address as an integer: a null or void pointer of koffi says nothing about MAP_FAILED.
  const mmap = libc.func(
    "int64_t mmap(uint64_t addr, size_t len, int prot, int flags, int fd, int64_t offset)",
  );
  const munmap = libc.func("int munmap(uint64_t addr, size_t len)");
  const sysconf = libc.func("long sysconf(int name)");
  return {
    pageSize: Number(sysconf(SC_PAGESIZE)),
    bpf: (cmd, attr) => bpf(numbers.bpf, cmd, attr, attr.length),
    address: (bytes) => (bytes.length === 0 ? 0n : BigInt(koffi.address(bytes))),
    open: (path, flags) => open(path, flags | O_CLOEXEC),
    close: (fd) => close(fd),
    read: (fd, into) => read(fd, into, into.length),
    write: (fd, bytes) => write(fd, bytes, bytes.length),
    ioctl: (fd, request, argument) => ioctl(fd, request, argument),
    mmap(fd, length, protection, offset) {
      const at = BigInt(mmap(0, length, protection, MAP_SHARED, fd, offset) as number | bigint);
      if (at === -1n) return -koffi.errno();
      return { buffer: koffi.view(at, length), unmap: () => void munmap(at, length) };
    },
    perfEventOpen: (attr, pid, cpu, groupFd, flags) =>
      perfEventOpen(numbers.perfEventOpen, attr, pid, cpu, groupFd, flags),
    epollCreate: () => epollCreate(EPOLL_CLOEXEC),
    epollCtl: (epoll, op, fd, event) => epollCtl(epoll, op, fd, event),
    epollWait: (epoll, events, max, timeoutMs) =>
      new Promise((resolve, reject) => {
        epollWait.async(epoll, events, max, timeoutMs, (error: Error | null, n: number) =>
          error ? reject(error) : resolve(n),
        );
      }),
    eventfd: () => eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    socket: (domain, type, protocol) => socket(domain, type | O_CLOEXEC, protocol),
    setsockopt: (fd, level, name, value) => setsockopt(fd, level, name, value, value.length),
    bind: (fd, address) => bind(fd, address, address.length),
    setUnlimited: (resource) => setrlimit(resource, new Uint8Array(16).fill(0xff)),
  };
}

/** The CPUs of a list like `0-3,8`. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const range of text.trim().split(",")) {
    if (range === "") continue;
    const [first, last] = range.split("-").map(Number);
    for (let cpu = first!; cpu <= (last ?? first!); cpu++) cpus.push(cpu);
  }
  return cpus;
}

/** num_possible_cpus(). */
export function readPossibleCpus(): number {
  return parseCpuList(readFileSync("/sys/devices/system/cpu/possible", "utf8")).length;
}

export function readOnlineCpus(): number[] {
  return parseCpuList(readFileSync("/sys/devices/system/cpu/online", "utf8"));
}

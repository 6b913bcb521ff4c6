/**
 * What a test wants from the machine. A missing tool or right skips with its reason and a hint, unless TSBPF_REQUIRE
 * (comma-separated names, or `all`) lists it: then it is a failure. `.ci/run` requires everything.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

interface Need {
  readonly present: () => boolean;
  readonly hint: string;
}

function runs(command: string, ...args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** The recorded kernel data beside the project; a clone elsewhere lacks it. */
export const SHARED: string = fileURLToPath(new URL("../../../shared", import.meta.url));

const needs = {
  "clang-19": { present: () => runs("clang-19", "--version"), hint: "apt-get install clang-19" },
  "llvm-19": { present: () => runs("llvm-objdump-19", "--version"), hint: "apt-get install llvm-19" },
  gcc: { present: () => runs("gcc", "--version"), hint: "apt-get install gcc libc6-dev" },
  libelf: {
    present: () => existsSync("/usr/include/libelf.h") && existsSync("/usr/include/zlib.h"),
    hint: "apt-get install libelf-dev zlib1g-dev",
  },
  "gcc-bpf": { present: () => runs("bpf-gcc", "--version"), hint: "apt-get install gcc-bpf" },
  "linux-source-6.12": {
    present: () => existsSync("/usr/src/linux-source-6.12.tar.xz"),
    hint: "apt-get install linux-source-6.12",
  },
  bpftool: { present: () => runs("bpftool", "version"), hint: "apt-get install bpftool" },
  tcpdump: { present: () => runs("tcpdump", "--version"), hint: "apt-get install tcpdump" },
  tshark: { present: () => runs("tshark", "--version"), hint: "apt-get install tshark" },
  chromium: { present: () => runs("chromium", "--version"), hint: "apt-get install chromium" },
  "libbpf-headers": {
    present: () => existsSync("/usr/include/bpf/bpf_helpers.h"),
    hint: "apt-get install libbpf-dev",
  },
  xz: { present: () => runs("xz", "--version"), hint: "apt-get install xz-utils" },
  bpf: {
    present: () =>
      process.platform === "linux" && process.getuid?.() === 0 && existsSync("/sys/kernel/btf/vmlinux"),
    hint: "run as root on Linux with BTF",
  },
  taskset: { present: () => runs("taskset", "--version"), hint: "apt-get install util-linux" },
  unshare: {
    present: () => runs("unshare", "-n", "-m", "true"),
    hint: "run as root, with util-linux",
  },
  setpriv: { present: () => runs("setpriv", "--version"), hint: "apt-get install util-linux" },
  qemu: {
    present: () =>
      runs("qemu-system-x86_64", "--version") &&
      runs("busybox") &&
      runs("cpio", "--version") &&
      runs("apt-get", "-v"),
    hint: "apt-get install qemu-system-x86 busybox-static cpio",
  },
  iproute2: { present: () => runs("ip", "-V"), hint: "apt-get install iproute2" },
  shared: {
    present: () => existsSync(`${SHARED}/conformance`),
    hint: "recorded data; only beside the project",
  },
} satisfies Record<string, Need>;

export type NeedName = keyof typeof needs;

const cache = new Map<NeedName, boolean>();

/** The reasons why a suite that wants `names` cannot run here; empty when it can. Throws for a required one. */
export function missing(...names: NeedName[]): string {
  const required = (process.env["TSBPF_REQUIRE"] ?? "").split(",");
  const reasons: string[] = [];
  for (const name of names) {
    let ok = cache.get(name);
    if (ok === undefined) cache.set(name, (ok = needs[name].present()));
    if (ok) continue;
    if (required.includes(name) || required.includes("all"))
      throw new Error(`TSBPF_REQUIRE names ${name}, and it is missing (${needs[name].hint})`);
    reasons.push(`wants ${name} (${needs[name].hint})`);
  }
  return reasons.join("; ");
}

/** `describe.skipIf(skip.reason)(skip.title("title"), ...)`: the reason shows in the skipped suite's title. */
export function want(...names: NeedName[]): { readonly skip: boolean; title(text: string): string } {
  const reason = missing(...names);
  return { skip: reason !== "", title: (text) => (reason ? `${text} [skipped: ${reason}]` : text) };
}

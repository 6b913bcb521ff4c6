// Why this process may not: what an EPERM of bpf(2) can come from, and the limit on locked memory of kernels before 5.11.
import { readFileSync } from "node:fs";
import { EPERM } from "../uapi/index.ts";

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

const CAP_NET_ADMIN = 12;
const CAP_SYS_ADMIN = 21;
const CAP_PERFMON = 38;
const CAP_BPF = 39;

export interface Rights {
  /** CapEff of /proc/self/status. */
  readonly capabilities: bigint;
  /** "none", "integrity" or "confidentiality"; "" where the kernel has no lockdown. */
  readonly lockdown: string;
  /** kernel.unprivileged_bpf_disabled; undefined where it cannot be read. */
  readonly unprivilegedBpfDisabled: number | undefined;
  /** A seccomp filter is in the way of system calls. */
  readonly seccomp: boolean;
}

export function readRights(): Rights {
  const status = readText("/proc/self/status");
  const sysctl = readText("/proc/sys/kernel/unprivileged_bpf_disabled");
  return {
    capabilities: BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`),
    lockdown: /\[(\w+)\]/.exec(readText("/sys/kernel/security/lockdown"))?.[1] ?? "",
    unprivilegedBpfDisabled: sysctl === "" ? undefined : Number(sysctl),
    seccomp: /^Seccomp:\s*2/m.test(status),
  };
}

/** What stands in the way of `errno`, as a phrase; undefined where nothing that can be seen does. */
export function explainErrno(errno: number, rights: Rights = readRights()): string | undefined {
  if (errno !== EPERM) return undefined;
  const has = (cap: number): boolean => ((rights.capabilities >> BigInt(cap)) & 1n) === 1n;
  if (!has(CAP_BPF) && !has(CAP_SYS_ADMIN)) {
    const { unprivilegedBpfDisabled: off } = rights;
    const sysctl =
      off === undefined || off === 0
        ? ""
        : `; kernel.unprivileged_bpf_disabled is ${off}, so others get nothing`;
    return `this process lacks CAP_BPF: run as root or with CAP_BPF and what the program type wants (CAP_PERFMON, CAP_NET_ADMIN)${sysctl}`;
  }
  if (rights.seccomp) return "a seccomp filter is active: a container's default one refuses bpf(2)";
  const lacks = [
    ...(has(CAP_PERFMON) || has(CAP_SYS_ADMIN) ? [] : ["CAP_PERFMON (tracing, pointers as numbers)"]),
    ...(has(CAP_NET_ADMIN) || has(CAP_SYS_ADMIN) ? [] : ["CAP_NET_ADMIN (networking)"]),
    ...(has(CAP_SYS_ADMIN) ? [] : ["CAP_SYS_ADMIN (ids, infos of others' objects)"]),
  ];
  if (rights.lockdown !== "" && rights.lockdown !== "none")
    return `kernel lockdown is at ${rights.lockdown}: reading kernel memory from BPF, or BPF altogether, is off`;
  return lacks.length === 0 ? undefined : `this process lacks ${lacks.join(", ")}`;
}

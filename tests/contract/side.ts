// One of the two kernels, with the things that cases may attach to: they are the suite's own.

import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "../../src/backend/index.ts";
import { Kernel } from "../../src/kernel/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import { errnoName } from "../../src/uapi/index.ts";

export interface Side {
  readonly backend: Backend;
  /** A folder of a bpffs. */
  readonly pinRoot: string;
  /** A network device, and the fds of a network namespace and of a cgroup. */
  readonly ifindex: number;
  readonly netns: number;
  readonly cgroup: number;
  /** unlink(2) of a pin. */
  unlink(path: string): string;
  dispose(): void;
}

/** "ok" for what is no errno. */
export const errno = (n: number): string => (n < 0 ? errnoName(-n) : "ok");

export function embeddedSide(): Side {
  const backend = new Kernel({
    cpus: 2,
    devices: [{ ifindex: 2, name: "own0", mtu: 1500, hardHeaderLen: 14, rxQueues: 1 }],
  });
  return {
    backend,
    pinRoot: "/sys/fs/bpf/suite",
    ifindex: 2,
    // Attach points that need no more than a number there.
    netns: 1000,
    cgroup: 1001,
    unlink: (path) => errno(backend.objUnpin(path)),
    dispose: () => backend.dispose(),
  };
}

/**
 * The running kernel. To be called in network and mount namespaces of one's own (`unshare -n -m`): it makes a device
 * and mounts a bpffs and a cgroup2 there, and a cgroup without processes, which dispose() removes.
 */
export async function linuxSide(): Promise<Side> {
  const backend = await LinuxBackend.open();
  execFileSync("ip", ["link", "add", "own0", "type", "veth", "peer", "name", "own1"]);
  const shown = execFileSync("ip", ["-j", "link", "show", "own0"], { encoding: "utf8" });
  const [{ ifindex }] = JSON.parse(shown) as [{ ifindex: number }];
  const dir = mkdtempSync(join(tmpdir(), "tsbpf-contract-"));
  const bpffs = join(dir, "bpf");
  const cgroups = join(dir, "cgroup");
  mkdirSync(bpffs);
  mkdirSync(cgroups);
  execFileSync("mount", ["-t", "bpf", "bpf", bpffs]);
  execFileSync("mount", ["-t", "cgroup2", "cgroup2", cgroups]);
  const suite = join(bpffs, "suite");
  mkdirSync(suite);
  const netns = openSync("/proc/self/ns/net", "r");
  const own = join(cgroups, `tsbpf-contract-${process.pid}`);
  mkdirSync(own);
  const cgroup = openSync(own, "r");
  return {
    backend,
    pinRoot: suite,
    ifindex,
    netns,
    cgroup,
    unlink(path) {
      try {
        rmSync(path);
        return "ok";
      } catch (error) {
        return (error as NodeJS.ErrnoException).code ?? "?";
      }
    },
    dispose() {
      closeSync(cgroup);
      closeSync(netns);
      rmdirSync(own);
      execFileSync("umount", [bpffs]);
      execFileSync("umount", [cgroups]);
      rmSync(dir, { recursive: true });
    },
  };
}

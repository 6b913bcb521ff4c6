/**
 * What a guest boots: a Debian kernel image, fetched by apt-get into the cache, and an initramfs with Node, its shared
 * libraries, busybox, koffi and whatever files the caller adds. Nothing is installed on the machine.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheDir } from "./selftests-build.ts";

const here = fileURLToPath(new URL("..", import.meta.url));

/** Debian's meta-packages by the version that one asks for. */
const PACKAGES: Readonly<Record<string, string>> = {
  "6.1": "linux-image-cloud-amd64",
  "6.12": "linux-image-6.12-cloud-amd64",
};

export interface KernelImage {
  /** vmlinuz. */
  readonly image: string;
  /** Its modules' folder (lib/modules/VERSION); undefined for a bare file. */
  readonly modules: string | undefined;
}

/** "6.1", "6.12": Debian's cloud kernel of that version; anything else is the path of a kernel image. */
export function kernelImage(name: string): KernelImage {
  const meta = PACKAGES[name];
  if (meta === undefined) {
    if (!existsSync(name))
      throw new Error(`no kernel image ${name}; Debian's are ${Object.keys(PACKAGES).join(", ")}`);
    return { image: name, modules: undefined };
  }
  const dir = join(cacheDir(), "vm", name);
  if (!existsSync(dir)) {
    const partial = `${dir}.${process.pid}`;
    mkdirSync(partial, { recursive: true });
    const depends = execFileSync("apt-cache", ["depends", meta], { encoding: "utf8" });
    const real = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
    if (real === undefined) throw new Error(`apt-cache knows no package behind ${meta} (apt-get update?)`);
    // apt-get drops its rights to a user who may not write here, says so, and goes on.
    execFileSync("apt-get", ["download", "-qq", real], { cwd: partial, stdio: ["ignore", "ignore", "pipe"] });
    const deb = readdirSync(partial).find((file) => file.endsWith(".deb"))!;
    execFileSync("dpkg-deb", ["-x", join(partial, deb), partial]);
    rmSync(join(partial, deb));
    try {
      renameSync(partial, dir);
    } catch {
      rmSync(partial, { recursive: true });
    }
  }
  const vmlinuz = readdirSync(join(dir, "boot")).find((file) => file.startsWith("vmlinuz-"))!;
  const version = vmlinuz.slice("vmlinuz-".length);
  const modules = ["lib/modules", "usr/lib/modules"]
    .map((path) => join(dir, path, version))
    .find((path) => existsSync(path));
  return { image: join(dir, "boot", vmlinuz), modules };
}

/** A newc archive of a folder. */
function pack(dir: string, out: string): void {
  const partial = `${out}.${process.pid}`;
  execFileSync("sh", ["-c", `find . | cpio -o -H newc --quiet > "$0"`, partial], { cwd: dir });
  renameSync(partial, out);
}

/** Shared libraries of a program, with the loader. */
function libraries(program: string): string[] {
  const text = execFileSync("ldd", [program], { encoding: "utf8" });
  return [...text.matchAll(/(\/\S+) \(0x/g)].map((m) => m[1]!);
}

function copyTo(root: string, path: string): void {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  copyFileSync(path, join(root, path));
}

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/usr/sbin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=80% tmp /tmp
mount -t bpf bpf /sys/fs/bpf
mkdir -p /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
dmesg -n 1
ip link set lo up
for module in $(cat /modules 2>/dev/null); do modprobe $module; done
echo
echo "@@BEGIN"
cd /app
node "$(cat /script)" $(cat /arguments) </dev/null
echo
echo "@@END $?"
# What node wrote is behind the marker only once it is on the line.
sync
poweroff -f
`;

/** The part of the initramfs that never changes: made once per Node version. */
export function baseArchive(): string {
  const out = join(cacheDir(), "vm", `base-${process.version}-2.cpio`);
  if (existsSync(out)) return out;
  mkdirSync(dirname(out), { recursive: true });
  const root = mkdtempSync(join(tmpdir(), "tsbpf-vm-"));
  try {
    for (const dir of ["bin", "proc", "sys", "dev", "tmp", "run", "usr/bin", "app"])
      mkdirSync(join(root, dir), { recursive: true });
    copyFileSync("/bin/busybox", join(root, "bin/busybox"));
    copyFileSync(process.execPath, join(root, "usr/bin/node"));
    for (const path of libraries(process.execPath)) copyTo(root, path);
    const modules = join(here, "node_modules");
    cpSync(join(modules, "koffi"), join(root, "app/node_modules/koffi"), { recursive: true });
    const native = `@koromix/koffi-linux-${process.arch}`;
    if (existsSync(join(modules, native)))
      cpSync(join(modules, native), join(root, "app/node_modules", native), { recursive: true });
    writeFileSync(join(root, "init"), INIT);
    chmodSync(join(root, "init"), 0o755);
    pack(root, out);
  } finally {
    rmSync(root, { recursive: true });
  }
  return out;
}

export interface Overlay {
  /** Of the main script, in /app. */
  readonly script: string;
  readonly args: readonly string[];
  /** Path in /app -> file or folder on this machine. */
  readonly files: Readonly<Record<string, string>>;
  /** Kernel modules to load, by name. */
  readonly modules: readonly string[];
}

/** The part of the initramfs that a run brings; the kernel unpacks one archive after the other. */
export function overlayArchive(overlay: Overlay, kernel: KernelImage, out: string): void {
  const root = mkdtempSync(join(tmpdir(), "tsbpf-vm-"));
  try {
    for (const [to, from] of Object.entries(overlay.files)) {
      const target = join(root, "app", to);
      mkdirSync(dirname(target), { recursive: true });
      if (statSync(from).isDirectory()) cpSync(from, target, { recursive: true });
      else copyFileSync(from, target);
    }
    writeFileSync(join(root, "script"), overlay.script);
    writeFileSync(join(root, "arguments"), overlay.args.join(" "));
    if (overlay.modules.length > 0 && kernel.modules !== undefined) {
      const version = kernel.modules.split("/").at(-1)!;
      cpSync(kernel.modules, join(root, "lib/modules", version), { recursive: true });
      execFileSync("depmod", ["-b", root, version], { stdio: "ignore" });
      writeFileSync(join(root, "modules"), overlay.modules.join("\n"));
    }
    pack(root, out);
  } finally {
    rmSync(root, { recursive: true });
  }
}

/**
 * Linux 6.12's BPF selftests as objects: what tools/testing/selftests/bpf/Makefile does to progs/*.c, for clang-19 and
 * -mcpu=v3, without building the runners. The source comes from Debian's linux-source-6.12; nothing of it is copied in.
 */
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export const SOURCE_TARBALL = "/usr/src/linux-source-6.12.tar.xz";
const HOST_BTF = "/sys/kernel/btf/vmlinux";

/** Sources, tools and objects that are made once. */
export function cacheDir(): string {
  return process.env["TSBPF_CACHE"] ?? join(homedir(), ".cache", "tsbpf");
}

export interface BuildOptions {
  /** Compiles this many files at a time. */
  readonly jobs?: number;
  /** Only these, by their name without `.c`. */
  readonly only?: readonly string[];
  /** A second kernel's `.BTF`: some programs name types that the running kernel renamed. */
  readonly otherBtf?: string;
  /** Assembly text (`NAME.s`) instead of objects. */
  readonly text?: boolean;
  /** Forgets what was built before. */
  readonly force?: boolean;
  readonly onProgress?: (done: number, total: number, file: string) => void;
}

export interface BuildResult {
  readonly dir: string;
  /** File names in `dir`, sorted. */
  readonly objects: string[];
  /** `reason`: the compiler's first error. */
  readonly failed: { readonly file: string; readonly reason: string }[];
}

/** The source tree of Linux 6.12, unpacked at first use (the parts that the selftests want). */
export function linuxSource(): string {
  const dir = join(cacheDir(), "linux-6.12");
  if (existsSync(join(dir, "tools/testing/selftests/bpf/Makefile"))) return dir;
  if (!existsSync(SOURCE_TARBALL))
    throw new Error(`${SOURCE_TARBALL} is missing (apt-get install linux-source-6.12)`);
  const partial = `${dir}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  const parts = ["Makefile", "tools", "scripts", "kernel/bpf", "include/uapi"];
  execFileSync("tar", [
    "-xJf",
    SOURCE_TARBALL,
    "-C",
    partial,
    "--strip-components=1",
    ...parts.map((p) => `linux-source-6.12/${p}`),
  ]);
  try {
    renameSync(partial, dir);
  } catch {
    rmSync(partial, { recursive: true });
  }
  return dir;
}

/** `6.12.117` as the tree's Makefile says. */
export function sourceVersion(source: string): string {
  const text = readFileSync(join(source, "Makefile"), "utf8");
  const field = (name: string): string => new RegExp(`^${name} *= *(\\d+)$`, "m").exec(text)?.[1] ?? "0";
  return `${field("VERSION")}.${field("PATCHLEVEL")}.${field("SUBLEVEL")}`;
}

/** bpftool of the same tree: it prints kfunc prototypes into vmlinux.h, which Debian 12's does not. */
export function bpftool(source: string): string {
  const dir = join(cacheDir(), `bpftool-${sourceVersion(source)}`);
  const path = join(dir, "bootstrap", "bpftool");
  if (existsSync(path)) return path;
  const partial = `${dir}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  const args = ["-s", "-C", join(source, "tools/bpf/bpftool"), `OUTPUT=${partial}/`, "-j2", "bootstrap"];
  execFileSync("make", args, { stdio: ["ignore", "ignore", "pipe"] });
  try {
    renameSync(partial, dir);
  } catch {
    rmSync(partial, { recursive: true });
  }
  return path;
}

/** That bpftool, for comparisons with it; built at first use. Its libbpf (1.5) lies beside it. */
export function selftestsBpftool(): string {
  return bpftool(linuxSource());
}

/** Per-file flags of the Makefile. */
const NO_STRICT_ALIASING = new Set([
  "bind4_prog",
  "bind6_prog",
  "dynptr_fail",
  "linked_list_fail",
  "map_kptr_fail",
  "syscall",
  "test_pkt_md_access",
  "test_sk_lookup",
  "timer_crash",
  "test_global_func9",
  "verifier_nocsr",
]);
const NO_INLINE = new Set(["test_l4lb_noinline", "test_xdp_noinline"]);

function extraFlags(name: string): string[] {
  if (NO_STRICT_ALIASING.has(name)) return ["-fno-strict-aliasing"];
  return NO_INLINE.has(name) ? ["-fno-inline"] : [];
}

/** `-idirafter` for every directory that the host compiler searches. */
function systemIncludes(): string[] {
  const text = execFileSync("sh", ["-c", "clang-19 -v -E - </dev/null 2>&1"], { encoding: "utf8" });
  const list = /<\.\.\.> search starts here:\n([\s\S]*?)End of search list/.exec(text)?.[1] ?? "";
  return list
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.startsWith("/"))
    .flatMap((line) => ["-idirafter", line]);
}

/** The headers that the Makefile generates or installs: `bpf/*.h`, bpf_helper_defs.h, and a vmlinux.h per BTF. */
function makeIncludes(source: string, dir: string, btfs: readonly string[]): string[] {
  const common = join(dir, "include");
  if (!existsSync(join(common, "bpf/bpf_helper_defs.h"))) {
    mkdirSync(join(common, "bpf"), { recursive: true });
    const lib = join(source, "tools/lib/bpf");
    for (const name of readdirSync(lib))
      if (name.endsWith(".h")) copyFileSync(join(lib, name), join(common, "bpf", name));
    const defs = execFileSync(
      "python3",
      [
        join(source, "scripts/bpf_doc.py"),
        "--header",
        "--file",
        join(source, "tools/include/uapi/linux/bpf.h"),
      ],
      { maxBuffer: 1 << 26, stdio: ["ignore", "pipe", "pipe"] },
    );
    const partial = join(common, `bpf/defs.${process.pid}`);
    writeFileSync(partial, new Uint8Array(defs));
    renameSync(partial, join(common, "bpf/bpf_helper_defs.h"));
  }
  return btfs.map((btf, i) => {
    const at = join(dir, `vmlinux${i}`);
    if (!existsSync(join(at, "vmlinux.h"))) {
      mkdirSync(at, { recursive: true });
      const text = execFileSync(bpftool(source), ["btf", "dump", "file", btf, "format", "c"], {
        maxBuffer: 1 << 28,
      });
      const partial = join(at, `vmlinux.${process.pid}`);
      writeFileSync(partial, new Uint8Array(text));
      renameSync(partial, join(at, "vmlinux.h"));
    }
    return at;
  });
}

function run(command: string, args: readonly string[], cwd: string): Promise<string> {
  return new Promise((done) => {
    execFile(command, args, { cwd, maxBuffer: 1 << 24 }, (error, _out, stderr) =>
      done(error ? stderr || error.message : ""),
    );
  });
}

function firstError(text: string): string {
  return (/(?:fatal )?error: .*/.exec(text)?.[0] ?? text.split("\n")[0] ?? "").trim();
}

/** Builds what is not built yet. Several processes may do so at once: every file appears by a rename. */
export async function buildSelftests(options: BuildOptions = {}): Promise<BuildResult> {
  if (!existsSync(HOST_BTF)) throw new Error(`${HOST_BTF} is missing: vmlinux.h is made from it`);
  const source = linuxSource();
  const tests = join(source, "tools/testing/selftests/bpf");
  const btfs = [HOST_BTF, ...(options.otherBtf ? [options.otherBtf] : [])];
  const key = createHash("sha256");
  for (const btf of btfs) key.update(new Uint8Array(readFileSync(btf)));
  const dir = join(cacheDir(), `selftests-${sourceVersion(source)}-${key.digest("hex").slice(0, 8)}`);
  const out = join(dir, options.text ? "asm" : "obj");
  const ending = options.text ? ".s" : ".bpf.o";
  if (options.force) rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });

  const names = readdirSync(join(tests, "progs"))
    .filter((name) => name.endsWith(".c"))
    .map((name) => name.slice(0, -2))
    .filter((name) => options.only === undefined || options.only.includes(name))
    .sort();
  const objects: string[] = [];
  const failed: { file: string; reason: string }[] = [];
  const missing = names.filter((name) => {
    if (existsSync(join(out, `${name}.failed`)))
      failed.push({ file: `${name}.c`, reason: readFileSync(join(out, `${name}.failed`), "utf8") });
    else if (existsSync(join(out, `${name}${ending}`))) objects.push(`${name}${ending}`);
    else return true;
    return false;
  });

  if (missing.length > 0) {
    const vmlinux = makeIncludes(source, dir, btfs);
    const base = ["-g", "-w", "-D__TARGET_ARCH_x86", "-mlittle-endian", "-DENABLE_ATOMICS_TESTS"];
    const after = [`-I${join(dir, "include")}`, `-I${tests}`, `-I${join(source, "tools/include/uapi")}`];
    const system = systemIncludes();
    const compile = async (name: string): Promise<void> => {
      const object = join(out, `${name}${ending}`);
      const partial = join(out, `${name}.${process.pid}.tmp`);
      let reason = "";
      // Programs that declare kfuncs in their own way collide with the prototypes of a newer kernel's vmlinux.h.
      for (const include of vmlinux)
        for (const guard of [[], ["-DBPF_NO_KFUNC_PROTOTYPES"]]) {
          const flags = [...base, ...guard, `-I${include}`, ...after, ...system, ...extraFlags(name)];
          const args = [
            ...flags,
            "-O2",
            "--target=bpf",
            options.text ? "-S" : "-c",
            `progs/${name}.c`,
            "-mcpu=v3",
            "-o",
            partial,
          ];
          const error = await run("clang-19", args, tests);
          if (error === "") {
            renameSync(partial, object);
            objects.push(`${name}${ending}`);
            return;
          }
          reason ||= firstError(error);
        }
      rmSync(partial, { force: true });
      writeFileSync(join(out, `${name}.failed`), reason);
      failed.push({ file: `${name}.c`, reason });
    };
    let next = 0;
    let done = 0;
    const worker = async (): Promise<void> => {
      while (next < missing.length) {
        const name = missing[next++]!;
        await compile(name);
        options.onProgress?.(++done, missing.length, name);
      }
    };
    await Promise.all(Array.from({ length: options.jobs ?? 2 }, worker));
  }
  objects.sort();
  failed.sort((a, b) => (a.file < b.file ? -1 : 1));
  return { dir: out, objects, failed };
}

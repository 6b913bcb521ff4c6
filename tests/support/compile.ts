/** Compiles small BPF C sources for tests. Guard with `want("clang-19")` or `want("gcc-bpf")`. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What every source starts with: no header is needed. */
const PRELUDE = `
typedef unsigned char __u8; typedef unsigned short __u16; typedef unsigned int __u32; typedef unsigned long long __u64;
typedef signed char __s8; typedef short __s16; typedef int __s32; typedef long long __s64; typedef _Bool bool;
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#define __noinline __attribute__((noinline))
#define __weak __attribute__((weak))
#define __hidden __attribute__((visibility("hidden")))
#define __kconfig __attribute__((section(".kconfig")))
#define __ksym __attribute__((section(".ksyms")))
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_loop)(__u32 nr, void *cb, void *ctx, __u64 flags) = (void *)181;
static long (*bpf_tail_call)(void *ctx, void *map, __u32 index) = (void *)12;
char _license[] SEC("license") = "GPL";
`;

export function compileC(source: string, compiler: "clang" | "gcc" = "clang"): Uint8Array {
  const dir = mkdtempSync(join(tmpdir(), "tsbpf-compile-"));
  try {
    const input = join(dir, "input.c");
    const output = join(dir, "output.o");
    writeFileSync(input, PRELUDE + source);
    if (compiler === "clang")
      execFileSync("clang-19", ["-g", "-O2", "--target=bpf", "-mcpu=v3", "-c", input, "-o", output]);
    else execFileSync("bpf-gcc", ["-gbtf", "-O2", "-w", "-c", input, "-o", output]);
    return new Uint8Array(readFileSync(output));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

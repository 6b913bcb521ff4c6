/**
 * Opening and loading every 6.12 selftest object beside libbpf 1.5, on backends that do nothing: ours is a
 * RecordingBackend, libbpf's bpf(2) is answered in its own process (tools/libbpf). Both read the file, relocate against
 * the same kernel BTF, which each opened once before, and pass every map and program on. CPU time, the median of
 * `rounds` per object, over the objects that libbpf loads; ours is warm, as libbpf's machine code always is.
 *
 *   npm run bench -- loader [ROUNDS]
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseBtf } from "../src/btf/index.ts";
import { BpfObject } from "../src/loader/index.ts";
import { selftests } from "../tests/support/corpus.ts";
import { kernelBtf } from "../tests/support/recorded.ts";
import { RecordingBackend } from "../tests/support/recording-backend.ts";
import { timeObjects } from "../tools/libbpf/libbpf.ts";
import { median, threadTime } from "./measure.ts";

export async function run(args: readonly string[]): Promise<void> {
  const rounds = Number(args[0] ?? 5);
  const corpus = await selftests();
  const btfPath = kernelBtf("6.18") ?? "/sys/kernel/btf/vmlinux";
  const theirs = timeObjects(
    btfPath,
    corpus.objects.map((o) => join(corpus.dir, o)),
    rounds,
  );
  const bytes = new Uint8Array(readFileSync(btfPath));
  const targetBtf = parseBtf(bytes);
  const ours = new Map<string, number[]>();
  for (let round = 0; round <= rounds; round++)
    for (const name of theirs.keys()) {
      const from = threadTime();
      const object = BpfObject.open(new Uint8Array(readFileSync(join(corpus.dir, name))), {
        name: name.replace(/\..*/, ""),
      });
      object.load(new RecordingBackend(2), { targetBtf, kconfig: KCONFIG, ksym: () => 0n });
      const ns = threadTime() - from;
      // The first round warms up.
      if (round === 0) ours.set(name, []);
      else ours.get(name)!.push(ns);
    }
  const rows = [...theirs].map(([name, libbpf]) => ({ name, libbpf, ours: median(ours.get(name)!) }));
  rows.sort((a, b) => b.ours - b.libbpf - (a.ours - a.libbpf));
  console.log("furthest behind libbpf, ms:");
  for (const r of rows.slice(0, 10))
    console.log(`  ${r.name.padEnd(40)} ${(r.ours / 1e6).toFixed(2)} libbpf ${(r.libbpf / 1e6).toFixed(2)}`);
  const total = (of: (r: (typeof rows)[number]) => number): number => rows.reduce((sum, r) => sum + of(r), 0);
  const [mine, its] = [total((r) => r.ours), total((r) => r.libbpf)];
  console.log(`${rows.length} objects: ${(mine / 1e6).toFixed(0)} ms, libbpf ${(its / 1e6).toFixed(0)} ms`);
  const opens = Array.from({ length: 9 }, () => {
    const from = threadTime();
    parseBtf(bytes).findByName("task_struct");
    return threadTime() - from;
  });
  const open = median(opens.slice(2)) / 1e6;
  console.log(`bench loader: total ${(mine / its).toFixed(2)} of libbpf, vmlinux open ${open.toFixed(1)} ms`);
}

/** Options that strong `__kconfig` externs of the selftests name. */
const KCONFIG = "CONFIG_BPF_SYSCALL=y\nCONFIG_HZ=250\nCONFIG_SECURITY=y\nCONFIG_BPF_JIT=y\n";

/**
 * The twenty most expensive programs of Linux 6.12's BPF selftests: our verifier's time beside this machine's kernel's
 * (loaded here, by turns; the recorded time where the kernel does not load it), and how many instructions each processed.
 *
 *   npm run bench -- verifier [--rounds N] [--json]
 *
 * Times are wall-clock medians: other work on the machine touches both.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parseBtf } from "../src/btf/index.ts";
import { verifierInput } from "../src/check/index.ts";
import { LinuxBackend } from "../src/linux/index.ts";
import { BpfObject } from "../src/loader/index.ts";
import { findProfile, verify } from "../src/verifier/index.ts";
import { selftests } from "../tests/support/corpus.ts";
import { kernelBtf, kernelConfig, recordedRows } from "../tests/support/recorded.ts";
import { recordedCases } from "../tools/parity-verifier/cases.ts";
import { geometricMean, median } from "./measure.ts";

const PROGRAMS = 20;
/** Counts are compared with the smaller of the two kernels'. */
const COUNT_FACTOR = 1.25;

interface Recorded {
  readonly obj: string;
  readonly prog: string | null;
  readonly verdict: string;
  readonly processed?: number;
  readonly verif_us?: number;
  readonly k612?: { readonly verdict: string; readonly processed?: number };
}

export interface Row {
  readonly name: string;
  readonly processed: number;
  /** By the kernels, 6.18 and 6.12. */
  readonly kernelProcessed: readonly (number | undefined)[];
  readonly ms: number;
  readonly kernelMs: number;
  readonly live: boolean;
}

/** Verification time of one load on this machine's kernel, in ms; undefined where it does not load. */
function kernelTime(backend: LinuxBackend, path: Uint8Array, obj: string, prog: string): number | undefined {
  const object = BpfObject.open(path, { name: obj.replace(/\..*/, "") });
  for (const p of object.programList) p.autoload = p.name === prog;
  let us: number | undefined;
  // BPF_LOG_STATS alone: the kernel says how long it took.
  const timed = new Proxy(backend, {
    get(target, key) {
      if (key !== "progLoad") {
        const value = Reflect.get(target, key) as unknown;
        return typeof value === "function" ? (value as () => unknown).bind(target) : value;
      }
      return (attr: Parameters<LinuxBackend["progLoad"]>[0]) => {
        const result = target.progLoad({ ...attr, log_level: 4, log_size: 1 << 20 });
        const found = /verification time (\d+) usec/.exec(result.log);
        if (found && result.fd >= 0) us = Number(found[1]);
        return result;
      };
    },
  });
  try {
    object.load(timed, {}).close();
  } catch {
    return undefined;
  }
  return us === undefined ? undefined : us / 1000;
}

export async function measure(rounds: number): Promise<{ rows: Row[]; peakMiB: number }> {
  const recorded = recordedRows<Recorded>("selftests-6.12");
  const top = recorded
    .filter((r) => r.prog !== null && r.verdict === "success" && r.verif_us !== undefined)
    .sort((a, b) => b.processed! - a.processed!)
    .slice(0, PROGRAMS);
  const corpus = await selftests([...new Set(top.map((r) => r.obj.replace(/\.bpf\.o$/, "")))]);
  const cases = new Map(
    recordedCases()
      .filter((c) => c.mode === "6.18")
      .map((c) => [`${c.obj} ${c.prog}`, c]),
  );
  const btf = parseBtf(new Uint8Array(readFileSync(kernelBtf("6.18")!)));
  const profile = findProfile("6.18")!;
  const backend = await LinuxBackend.open();
  const rows: Row[] = [];
  let peak = 0;
  for (const r of top) {
    const c = cases.get(`${r.obj} ${r.prog}`)!;
    const bytes = corpus.read(r.obj);
    const object = BpfObject.open(bytes, { name: r.obj.replace(/\..*/, "") });
    const input = verifierInput(object, object.programs[r.prog!]!, {
      targetBtf: btf,
      kconfig: kernelConfig("6.18") ?? "",
      ...(c.progType === undefined ? {} : { progType: c.progType }),
      ...(c.expectedAttachType === undefined ? {} : { expectedAttachType: c.expectedAttachType }),
      progFlags: c.progFlags,
      caps: c.caps,
    });
    const times: number[] = [];
    const kernelTimes: number[] = [];
    let processed = 0;
    for (let i = 0; i < rounds; i++) {
      const start = performance.now();
      const result = verify(input, profile, btf, { logLevel: 0 });
      times.push(performance.now() - start);
      processed = result.stats.processed;
      if (!result.ok) throw new Error(`${r.obj} ${r.prog} is rejected: ${result.message}`);
      const kernel = kernelTime(backend, bytes, r.obj, r.prog!);
      if (kernel !== undefined) kernelTimes.push(kernel);
      peak = Math.max(peak, process.memoryUsage().rss);
    }
    const live = kernelTimes.length > 0;
    rows.push({
      name: `${r.obj.replace(/\.bpf\.o$/, "")} ${r.prog}`,
      processed,
      kernelProcessed: [r.processed, r.k612?.verdict === "success" ? r.k612.processed : undefined],
      ms: median(times),
      kernelMs: live ? median(kernelTimes) : r.verif_us! / 1000,
      live,
    });
  }
  return { rows, peakMiB: peak / 2 ** 20 };
}

/** Share of these programs whose count is at most 1.25 times the smaller recorded one. */
function countsOk(rows: readonly Row[]): number {
  const ok = rows.filter((r) => {
    const least = Math.min(...r.kernelProcessed.filter((n): n is number => n !== undefined));
    return r.processed <= COUNT_FACTOR * least;
  });
  return (100 * ok.length) / rows.length;
}

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { rounds: { type: "string", default: "3" }, json: { type: "boolean", default: false } },
  });
  const { rows, peakMiB } = await measure(Number(values.rounds));
  if (values.json) {
    console.log(JSON.stringify({ rows, peakMiB }));
    return;
  }
  for (const r of rows) {
    const ratio = (r.ms / r.kernelMs).toFixed(2);
    const rate = Math.round(r.processed / r.ms);
    console.log(
      `${r.name.padEnd(52)} ${String(r.processed).padStart(7)} insns ${r.ms.toFixed(0).padStart(6)} ms, kernel ${r.kernelMs.toFixed(0)} ms${r.live ? "" : " (recorded)"}: ${ratio}, ${rate} k/s`,
    );
  }
  const ratios = rows.map((r) => r.ms / r.kernelMs);
  const large = rows.filter((r) => r.processed >= 100_000);
  const rate = geometricMean(large.map((r) => (1000 * r.processed) / r.ms));
  console.log(
    `bench verifier: geomean ${geometricMean(ratios).toFixed(2)} of kernel, worst ${Math.max(...ratios).toFixed(2)}, ${Math.round(rate)} insns/s, peak ${Math.round(peakMiB)} MiB, processed-ok ${countsOk(rows).toFixed(0)} %`,
  );
}

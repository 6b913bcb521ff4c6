/**
 * The JIT against this machine's kernel and against native code: the programs of bench/programs, compiled by clang-19
 * for BPF and by gcc for the host, interleaved, median of seven, net of what an empty program costs.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { LinuxBackend } from "../src/linux/index.ts";
import { AddressSpace, createJit, type LoadedProgram } from "../src/vm/index.ts";
import { measureInterp } from "./interp.ts";
import { makeProgram } from "./make-program.ts";
import { geometricMean, median, timeCalls } from "./measure.ts";
import {
  type BenchProgram,
  buildPrograms,
  loadIntoEngine,
  loadIntoKernel,
  makeContext,
  makeMaps,
  makePacket,
} from "./programs.ts";

const ROUNDS = 7;
/** A sample takes about this long. */
const SAMPLE_NS = 20e6;

interface Contender {
  readonly name: string;
  result(): number;
  /** ns of one run, over `repeat` runs. */
  measure(repeat: number): number;
}

interface Row {
  readonly program: string;
  readonly ns: Record<string, number>;
}

export async function run(args: readonly string[]): Promise<void> {
  const only = args.filter((arg) => !arg.startsWith("-"));
  const json = args.includes("--json");
  const packet = makePacket();
  const programs = buildPrograms();
  const backend = await LinuxBackend.open();
  const space = new AddressSpace();
  const ctx = makeContext(space, packet);
  const jit = createJit(space);
  const contendersOf = (program: BenchProgram): Contender[] => {
    const fd = loadIntoKernel(backend, program);
    const maps = makeMaps(space, program);
    const engineContender = (name: string, loaded: LoadedProgram): Contender => ({
      name,
      result: () => loaded.run(ctx) >>> 0,
      measure: (repeat) => timeCalls(() => loaded.run(ctx), repeat),
    });
    const kernelRun = (repeat: number): { retval: number; duration: number } => {
      const answer = backend.progTestRun(fd, { data_in: packet, repeat });
      if (answer.err !== 0) throw new Error(`${program.name}: BPF_PROG_TEST_RUN: ${answer.err}`);
      return answer;
    };
    return [
      {
        name: "native",
        result: () => program.native.run(packet),
        measure: (repeat) => program.native.measure(packet, repeat),
      },
      {
        name: "kernel",
        result: () => kernelRun(1).retval,
        measure: (repeat) => kernelRun(repeat).duration,
      },
      engineContender("unchecked", loadIntoEngine(jit, program, maps, "unchecked")),
      engineContender("checked", loadIntoEngine(jit, program, maps, "checked")),
    ];
  };
  const empty = measureAll(contendersOf(programs.find((program) => program.name === "empty")!));
  const rows: Row[] = [];
  for (const program of programs) {
    if (program.name === "empty" || (only.length > 0 && !only.includes(program.name))) continue;
    const contenders = contendersOf(program);
    const results = contenders.map((contender) => contender.result());
    if (results.some((result) => result !== results[0]))
      throw new Error(
        `${program.name}: results differ: ${contenders.map((c, k) => `${c.name} ${results[k]}`)}`,
      );
    const ns = measureAll(contenders);
    for (const name of Object.keys(ns)) ns[name] -= empty[name];
    rows.push({ program: program.name, ns });
    if (!json) printRow(rows[rows.length - 1]);
  }
  const ratio = (a: string, b: string): string =>
    geometricMean(rows.map(({ ns }) => ns[a] / ns[b])).toFixed(2);
  const latency = firstCalls("auto");
  const translated = firstCalls("jit");
  const interp = measureInterp();
  if (json) console.log(JSON.stringify({ empty, rows, latency, translated, interp }));
  else
    console.log(
      `engine jit alone (the last line has engine auto): first call cold ${translated.cold.toFixed(1)} ms, ` +
        `warm ${translated.warm.toFixed(1)} ms, 100k ${translated.large.toFixed(0)} ms`,
    );
  console.log(
    `bench jit: unchecked/kernel ${ratio("unchecked", "kernel")}, unchecked/native ${ratio("unchecked", "native")}, ` +
      `checked/kernel ${ratio("checked", "kernel")}, interp ${interp.toFixed(2)} ns/insn, empty call ${empty["unchecked"].toFixed(1)} ns, ` +
      `first call cold ${latency.cold.toFixed(1)} ms, warm ${latency.warm.toFixed(1)} ms, ` +
      `100k ${latency.large.toFixed(0)} ms`,
  );
}

function measureAll(contenders: readonly Contender[]): Record<string, number> {
  const repeats = contenders.map((contender) => {
    // Long enough for every tier of compiler to have its say.
    let repeat = 100;
    for (;;) {
      const ns = contender.measure(repeat) * repeat;
      if (ns > SAMPLE_NS / 2) return Math.max(1, Math.round((repeat * SAMPLE_NS) / ns));
      repeat *= 4;
    }
  });
  const samples: number[][] = contenders.map(() => []);
  for (let round = 0; round < ROUNDS; round++)
    contenders.forEach((contender, k) => {
      samples[k].push(contender.measure(repeats[k]));
    });
  return Object.fromEntries(contenders.map((contender, k) => [contender.name, median(samples[k])]));
}

function printRow({ program, ns }: Row): void {
  const cells = Object.entries(ns).map(([name, value]) => `${name} ${value.toFixed(0)} ns`);
  const of = (a: string, b: string): string => `${a}/${b} ${(ns[a] / ns[b]).toFixed(2)}`;
  console.log(
    `${program.padEnd(10)} ${cells.join(", ")}; ${of("unchecked", "kernel")}, ${of("unchecked", "native")}, ${of("checked", "kernel")}`,
  );
}

interface FirstCall {
  readonly cold: number;
  readonly warm: number;
  readonly large: number;
}

/** Times of load and first call, each from fresh processes that run the built package: the median of seven. */
function firstCalls(engine: "auto" | "jit"): FirstCall {
  const script = fileURLToPath(new URL("jit-first-call.mjs", import.meta.url));
  const programs = [
    ...Array.from({ length: 41 }, (_, k) => makeProgram(1000, k + 1)),
    makeProgram(100_000, 99),
  ];
  const input = programs.map((insns) => Buffer.from(insns).toString("base64")).join("\n");
  const runs = Array.from(
    { length: ROUNDS },
    () =>
      JSON.parse(execFileSync(process.execPath, [script, engine], { encoding: "utf8", input })) as FirstCall,
  );
  return {
    cold: median(runs.map((run) => run.cold)),
    warm: median(runs.map((run) => run.warm)),
    large: median(runs.map((run) => run.large)),
  };
}

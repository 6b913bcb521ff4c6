/**
 * The conformance vectors on every engine and on this machine's kernel.
 *
 *   npm run parity -- isa [--vectors DIR]
 */
import { existsSync } from "node:fs";
import { callLocal, decode, exit, type Insn, ldImm64, mov64Imm, stxMem } from "../src/asm/index.ts";
import { BPF_CALL, BPF_DW, BPF_JMP, BPF_PSEUDO_MAP_VALUE, BPF_X } from "../src/uapi/index.ts";
import { type AddressSpace, CPU_ARGS, CPU_RESULT, type HelperBinding } from "../src/vm/index.ts";
import { SHARED } from "../tests/support/need.ts";
import { readVectors, type Vector } from "./conformance.ts";
import { ENGINE_NAMES, EngineTarget, KernelTarget, withMemoryArguments } from "./engines.ts";
import type { ParityReport } from "./parity.ts";

/** The vectors' runner has one function, number 5, which returns its first argument. */
const RUNNER_FUNCTION = 5;
const CALLX = BPF_JMP | BPF_CALL | BPF_X;

function runnerHelper(id: number, space: AddressSpace): HelperBinding | undefined {
  if (id !== RUNNER_FUNCTION) return undefined;
  return {
    kind: "js",
    name: "first_argument",
    nargs: 1,
    fn: (cpu) => space.dv.setBigUint64(cpu + CPU_RESULT, space.dv.getBigUint64(cpu + CPU_ARGS, true), true),
  };
}

/** (i32, i64 x 5) -> i64 that returns its second parameter: the runner's function as a BPF function of the table. */
function firstArgument(): CallableFunction {
  const bytes = [
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...[1, 11, 1, 0x60, 6, 0x7f, 0x7e, 0x7e, 0x7e, 0x7e, 0x7e, 1, 0x7e],
    ...[3, 2, 1, 0],
    ...[7, 5, 1, 1, 0x66, 0, 0],
    ...[10, 6, 1, 4, 0, 0x20, 1, 0x0b],
  ];
  const instance = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(bytes)));
  return instance.exports["f"] as CallableFunction;
}

interface Row {
  readonly vector: string;
  readonly engine: string;
  readonly ok: boolean;
  /** What came instead, or why the kernel does not take it. */
  readonly text: string;
  /** The kernel refused the program: not counted. */
  readonly taken: boolean;
}

function judge(vector: Vector, engine: string, got: bigint | string): Row {
  const refused = typeof got === "string";
  const ok = refused ? vector.result === undefined : got === vector.result;
  const text = refused ? got : `r0 = 0x${got.toString(16)}`;
  return { vector: vector.name, engine, ok, text, taken: true };
}

function runEngines(vectors: readonly Vector[]): Row[] {
  return ENGINE_NAMES.flatMap((name) => {
    const target = new EngineTarget(name, runnerHelper);
    const index = target.space.tableSlots.take(1);
    target.space.table.set(index, firstArgument());
    return vectors.map((vector) => {
      const insns = decode(vector.insns);
      // callx takes an index of the function table: the number 5 of the vectors' runner becomes ours.
      const calls = insns.some((insn) => insn.op === CALLX);
      const own = calls
        ? insns.map((insn) =>
            insn.imm === RUNNER_FUNCTION && insn.op !== CALLX ? { ...insn, imm: index } : insn,
          )
        : insns;
      const run = target.run([...withMemoryArguments(vector.mem), ...own], vector.mem);
      return judge(vector, name, typeof run === "string" ? run : target.result());
    });
  });
}

/**
 * The vector as a subprogram: `r1, r2 = memory; call vector; *(u64 *)result = r0; exit`. Its result stands in the eight
 * bytes after the memory, so that an access past the memory's end is not noticed here; our checked mode is what does.
 */
function kernelProgram(vector: Vector): { insns: Insn[]; memory: Uint8Array } {
  const at = Math.ceil(vector.mem.length / 8) * 8;
  const memory = new Uint8Array(at + 8);
  memory.set(vector.mem);
  const main: Insn[] = [
    ...withMemoryArguments(vector.mem),
    callLocal(5),
    ldImm64(1, BigInt(at) << 32n, BPF_PSEUDO_MAP_VALUE),
    stxMem(BPF_DW, 1, 0, 0),
    mov64Imm(0, 0),
    exit(),
  ];
  return { insns: [...main, ...decode(vector.insns)], memory };
}

async function runKernel(vectors: readonly Vector[]): Promise<Row[]> {
  const kernel = await KernelTarget.open();
  const rows = vectors.map((vector): Row => {
    const { insns, memory } = kernelProgram(vector);
    const run = kernel.run(insns, memory);
    if (typeof run === "string" && vector.result !== undefined)
      return { vector: vector.name, engine: "kernel", ok: false, text: reasonOf(run), taken: false };
    const r0 =
      typeof run === "string" ? run : new DataView(run.memory.buffer).getBigUint64(memory.length - 8, true);
    return judge(vector, "kernel", r0);
  });
  kernel.close();
  return rows;
}

/** The line of a verifier's log that says why. */
function reasonOf(log: string): string {
  const lines = log
    .split("\n")
    .filter(
      (line) => line !== "" && !/^(\d+: |processed |;|from |func#|Func#|caller:|callee:| frame)/.test(line),
    );
  return lines.at(-1) ?? log;
}

export async function parity(args: readonly string[]): Promise<ParityReport> {
  const at = args.indexOf("--vectors");
  const dir = at >= 0 ? args[at + 1]! : `${SHARED}/conformance`;
  if (!existsSync(dir)) throw new Error(`no vectors at ${dir}: --vectors names a folder of *.data files`);
  const vectors = readVectors(dir);
  const rows = runEngines(vectors);
  const notes: string[] = [];
  let kernel: Row[] = [];
  try {
    kernel = await runKernel(vectors);
  } catch (error) {
    notes.push(`kernel: ${(error as Error).message}`);
  }
  for (const row of kernel) if (!row.taken) notes.push(`kernel does not take ${row.vector}: ${row.text}`);
  rows.push(...kernel);
  for (const row of rows) if (row.taken && !row.ok) notes.push(`${row.engine} ${row.vector}: ${row.text}`);
  const counts = ENGINE_NAMES.map((name) => {
    const right = rows.filter((row) => row.engine === name && row.ok).length;
    return `${name} ${right}/${vectors.length}`;
  });
  const taken = kernel.filter((row) => row.taken);
  counts.push(`kernel ${taken.filter((row) => row.ok).length}/${taken.length}`);
  return {
    summary: `isa: ${counts.join(", ")}`,
    notes,
    rows,
    ok: rows.every((row) => row.ok || !row.taken),
  };
}

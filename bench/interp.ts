/**
 * Nanoseconds per instruction of the interpreter: the programs of bench/programs as clang-19 compiles them, in both
 * modes. A helper call counts as one instruction.
 */
import { type AccessMode, AddressSpace, createInterpreter, InterpProgram } from "../src/vm/index.ts";
import { median, timeCalls } from "./measure.ts";
import { buildPrograms, loadIntoEngine, makeContext, makeMaps, makePacket } from "./programs.ts";

/** Instructions of one sample: a fraction of a millisecond. */
const SAMPLE_STEPS = 200_000;
const WARM_UP = 20;
const SAMPLES = 60;

interface InterpFigure {
  readonly program: string;
  readonly mode: AccessMode;
  readonly nsPerInsn: number;
}

/** The median of many short samples, per program and mode. */
function interpFigures(): InterpFigure[] {
  const space = new AddressSpace();
  const ctx = makeContext(space, makePacket());
  const engine = createInterpreter(space);
  const rows: InterpFigure[] = [];
  for (const program of buildPrograms()) {
    if (program.name === "empty") continue;
    for (const mode of ["unchecked", "checked"] as const) {
      const loaded = loadIntoEngine(engine, program, makeMaps(space, program), mode);
      if (!(loaded instanceof InterpProgram)) throw new Error("not the interpreter's program");
      const counted = loaded.start(ctx);
      if (counted.continue() !== "exit") throw new Error(`${program.name}: ${counted.fault?.message}`);
      const { steps } = counted;
      counted.dispose();
      const repeat = Math.ceil(SAMPLE_STEPS / steps);
      const sample = (): number => timeCalls(() => loaded.run(ctx), repeat) / steps;
      for (let i = 0; i < WARM_UP; i++) sample();
      const nsPerInsn = median(Array.from({ length: SAMPLES }, sample));
      rows.push({ program: program.name, mode, nsPerInsn });
      loaded.dispose();
    }
  }
  return rows;
}

/** The mean over programs and modes. */
function mean(rows: readonly InterpFigure[]): number {
  return rows.reduce((sum, row) => sum + row.nsPerInsn, 0) / rows.length;
}

/** Nanoseconds per instruction, for the one line of `bench jit`. */
export function measureInterp(): number {
  return mean(interpFigures());
}

export async function run(args: readonly string[]): Promise<void> {
  const rows = interpFigures();
  if (args.includes("--json")) console.log(JSON.stringify(rows));
  else
    for (const { program, mode, nsPerInsn } of rows)
      console.log(`${program.padEnd(12)} ${mode.padEnd(10)} ${nsPerInsn.toFixed(2)} ns/insn`);
  console.log(`bench interp: ${mean(rows).toFixed(2)} ns/insn`);
}

/** One generated program on the kernel and in our verifier; and the smallest that still comes out differently. */
import { encode } from "../../src/asm/index.ts";
import type { Backend } from "../../src/backend/index.ts";
import type { Btf } from "../../src/btf/index.ts";
import { BPF_PSEUDO_KFUNC_CALL, EFAULT } from "../../src/uapi/index.ts";
import { verify } from "../../src/verifier/index.ts";
import { findProfile } from "../../src/verifier/profiles.ts";
import { programOf, type Shape } from "./builder.ts";
import { kfuncAllowed } from "./calls.ts";
import { type FuzzProgram, loadOnKernel, verifierInput } from "./program.ts";
import type { World } from "./world.ts";

export interface Outcome {
  readonly ok: boolean;
  readonly errno: number;
  /** The last line of the log that is no statistics. */
  readonly message: string;
  readonly processed: number;
}

export interface Judges {
  readonly world: World;
  readonly backend: Backend;
  readonly kernelBtf: Btf;
}

function lastMessage(log: string): string {
  const lines = log
    .split("\n")
    .filter((line) => line !== "" && !/^(processed|verification time|stack depth) /.test(line));
  return lines[lines.length - 1] ?? "";
}

/** The kernel must not be given this. */
export function isDangerous(program: FuzzProgram): boolean {
  return program.insns.some(
    (insn) =>
      insn.op === 0x85 && insn.src === BPF_PSEUDO_KFUNC_CALL && (insn.off !== 0 || !kfuncAllowed(insn.imm)),
  );
}

export function onKernel(program: FuzzProgram, judges: Judges, level = 1): Outcome {
  const { errno, log } = loadOnKernel(program, judges.world, judges.backend, level);
  const processed = Number(/processed (\d+) insns/.exec(log)?.[1] ?? 0);
  return { ok: errno === 0, errno, message: errno === 0 ? "" : lastMessage(log), processed };
}

const profile = findProfile("6.18")!;

export function inOurs(program: FuzzProgram, judges: Judges): Outcome {
  const r = verify(verifierInput(program, judges.world), profile, judges.kernelBtf, { logLevel: 1 });
  return { ok: r.ok, errno: r.errno, message: r.ok ? "" : lastMessage(r.log), processed: r.stats.processed };
}

/** Numbers and names aside: what distinguishes one message of the kernel from another. */
export function messageKey(message: string): string {
  return message
    .replace(/0x[0-9a-f]+|-?\d+/g, "#")
    .replace(/#(,#)*/g, "#")
    .slice(0, 120);
}

export interface Comparison {
  readonly kernel: Outcome;
  /** Null: it threw. */
  readonly ours: Outcome | null;
  /** What differs, or null. */
  readonly difference: string | null;
}

export function compare(program: FuzzProgram, judges: Judges): Comparison {
  const kernel = onKernel(program, judges);
  try {
    const ours = inOurs(program, judges);
    // A bug of the kernel's own (functions that no call reaches), after its verdict.
    const kernelBug = kernel.errno === EFAULT && kernel.message.startsWith("verifier bug: No program");
    const same = kernelBug || (kernel.ok === ours.ok && kernel.errno === ours.errno);
    return { kernel, ours, difference: same ? null : `kernel ${text(kernel)}; ours ${text(ours)}` };
  } catch (e) {
    return { kernel, ours: null, difference: `kernel ${text(kernel)}; ours throws ${(e as Error).message}` };
  }
}

export function differ(program: FuzzProgram, judges: Judges): string | null {
  return compare(program, judges).difference;
}

function text(o: Outcome): string {
  return o.ok ? "accepts" : `rejects (${o.errno}: ${o.message})`;
}

/** Takes away items while `differs` holds: halves, quarters, ... single ones. */
export function reduce(shape: Shape, differs: (program: FuzzProgram) => boolean): boolean[] {
  const keep = shape.items.map(() => true);
  for (let size = Math.max(1, keep.length >> 1), again = false; ; ) {
    again = false;
    for (let at = 0; at < keep.length; at += size) {
      const tried = keep.slice();
      let some = false;
      for (let i = at; i < at + size && i < keep.length; i++) {
        some ||= tried[i]!;
        tried[i] = false;
      }
      if (!some) continue;
      const program = programOf(shape, tried);
      if (program === null || isDangerous(program) || !differs(program)) continue;
      for (let i = at; i < at + size && i < keep.length; i++) keep[i] = false;
      again = true;
    }
    if (size > 1) size >>= 1;
    else if (!again) return keep;
  }
}

/** As a regression file holds it. */
export function toRow(program: FuzzProgram): object {
  return {
    progType: program.progType,
    attachType: program.attachType,
    flags: program.flags,
    license: program.license,
    funcs: program.funcs,
    insns: Buffer.from(encode(program.insns)).toString("hex").match(/.{16}/g),
  };
}

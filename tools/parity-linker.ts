/**
 * The static linker beside bpftool's (libbpf 1.5, built from the same tree as the selftests): each selftest object by
 * itself, objects in pairs, and the sets that the selftests themselves link. Contents, symbols and relocations have to
 * be the same, and what one refuses the other has to refuse.
 *
 *   npm run parity -- linker [--pairs N] [--json]
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { TsbpfError } from "../src/diag/index.ts";
import { BpfLinker } from "../src/linker/index.ts";
import { type Corpus, selftests } from "../tests/support/corpus.ts";
import { compareObjects } from "./compare-objects.ts";
import type { ParityReport } from "./parity.ts";
import { selftestsBpftool } from "./selftests-build.ts";

/** LINKED_SKELS of the selftests' Makefile. */
export const LINKED_SETS: readonly (readonly string[])[] = [
  ["test_static_linked1", "test_static_linked2"],
  ["linked_funcs1", "linked_funcs2"],
  ["linked_vars1", "linked_vars2"],
  ["linked_maps1", "linked_maps2"],
].map((names) => names.map((name) => `${name}.bpf.o`));

export interface LinkComparison {
  readonly inputs: readonly string[];
  /** Bytes, or the reason of the refusal. */
  readonly ours: Uint8Array | string;
  readonly theirs: Uint8Array | string;
  readonly differences: readonly string[];
}

export function compareLinking(corpus: Corpus, inputs: readonly string[], scratch: string): LinkComparison {
  const ours = link(corpus, inputs);
  const theirs = bpftoolLink(corpus, inputs, scratch);
  if (typeof ours === "string" || typeof theirs === "string") {
    const both = typeof ours === "string" && typeof theirs === "string";
    const who =
      typeof ours === "string" ? `refused: ${ours}` : `bpftool refuses: ${String(theirs).slice(0, 300)}`;
    return { inputs, ours, theirs, differences: both ? [] : [who] };
  }
  return { inputs, ours, theirs, differences: compareObjects(ours, theirs) };
}

function link(corpus: Corpus, inputs: readonly string[]): Uint8Array | string {
  try {
    const linker = new BpfLinker();
    for (const name of inputs) linker.add(corpus.read(name), name);
    return linker.finish();
  } catch (error) {
    if (!(error instanceof TsbpfError)) throw error;
    return error.message;
  }
}

function bpftoolLink(corpus: Corpus, inputs: readonly string[], scratch: string): Uint8Array | string {
  const out = join(scratch, "theirs.o");
  const paths = inputs.map((name) => join(corpus.dir, name));
  try {
    execFileSync(selftestsBpftool(), ["gen", "object", out, ...paths], {
      stdio: ["ignore", "ignore", "pipe"],
    });
  } catch (error) {
    return String((error as { stderr?: Buffer }).stderr ?? error).trim();
  }
  return new Uint8Array(readFileSync(out));
}

/** Every object alone, the linked sets, and `pairs` pairs of neighbours by a fixed stride. */
export function linkSets(objects: readonly string[], pairs: number): (readonly string[])[] {
  const sets: (readonly string[])[] = [...LINKED_SETS, ...objects.map((name) => [name])];
  for (let i = 0; i < pairs; i++)
    sets.push([objects[(i * 7) % objects.length]!, objects[(i * 13 + 1) % objects.length]!]);
  return sets;
}

export async function parity(args: readonly string[]): Promise<ParityReport> {
  const { values } = parseArgs({ args: [...args], options: { pairs: { type: "string", default: "300" } } });
  const corpus = await selftests();
  const scratch = mkdtempSync(join(tmpdir(), "tsbpf-linker-"));
  const count = { linked: 0, same: 0, refused: 0, bothRefuse: 0 };
  const rows: object[] = [];
  const notes: string[] = [];
  try {
    for (const inputs of linkSets(corpus.objects, Number(values.pairs))) {
      const { theirs, ours, differences } = compareLinking(corpus, inputs, scratch);
      if (typeof theirs === "string") {
        count.refused++;
        if (typeof ours === "string") count.bothRefuse++;
      } else {
        count.linked++;
        if (differences.length === 0) count.same++;
      }
      if (differences.length > 0) notes.push(`${inputs.join(" + ")}: ${differences.slice(0, 3).join("; ")}`);
      rows.push({ inputs, linked: typeof theirs !== "string", differences });
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
  const ok = count.same === count.linked && count.bothRefuse === count.refused;
  const summary = `linker: outputs ${count.same}/${count.linked}, refusals ${count.bothRefuse}/${count.refused}`;
  return { summary, notes, rows, ok };
}

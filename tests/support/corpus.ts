/** Linux 6.12's BPF selftests as built objects, for tests. Guard with `want("clang-19", "linux-source-6.12", ...)`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type BuildResult, buildSelftests } from "../../tools/selftests-build.ts";
import type { NeedName } from "./need.ts";
import { kernelBtf } from "./recorded.ts";

/** What building the corpus takes. */
export const CORPUS_NEEDS: readonly NeedName[] = ["clang-19", "linux-source-6.12", "gcc", "bpf", "xz"];

export interface Corpus extends BuildResult {
  read(object: string): Uint8Array;
}

/** Builds what the cache lacks; a first call takes minutes. */
export async function selftests(only?: readonly string[]): Promise<Corpus> {
  const otherBtf = kernelBtf("6.12");
  const result = await buildSelftests({ ...(otherBtf ? { otherBtf } : {}), ...(only ? { only } : {}) });
  return { ...result, read: (object) => new Uint8Array(readFileSync(join(result.dir, object))) };
}

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type CoreUser, minCoreBtf, parseBtf, parseBtfExt } from "../../src/btf/index.ts";
import { parseElf } from "../../src/elf/index.ts";
import { selftestsBpftool } from "../../tools/selftests-build.ts";
import { CORPUS_NEEDS, selftests } from "../support/corpus.ts";
import { want } from "../support/need.ts";

const VMLINUX = "/sys/kernel/btf/vmlinux";
const w = want(...CORPUS_NEEDS);

describe.skipIf(w.skip)(w.title("the BTF that objects need"), () => {
  const scratch = mkdtempSync(join(tmpdir(), "tsbpf-mincore-"));
  afterAll(() => rmSync(scratch, { recursive: true }));

  it("is what bpftool gives, byte by byte", async () => {
    const corpus = await selftests();
    const target = parseBtf(new Uint8Array(readFileSync(VMLINUX)));
    const users = corpus.objects.flatMap((name): (CoreUser & { readonly name: string })[] => {
      const elf = parseElf(corpus.read(name));
      const [types, records] = [".BTF", ".BTF.ext"].map((section) => elf.section(section)?.data);
      if (types === undefined || records === undefined) return [];
      const btf = parseBtf(types);
      const ext = parseBtfExt(records, btf);
      return ext.coreRelocations.sections.length > 0 ? [{ name, btf, ext }] : [];
    });
    expect(users.length).toBeGreaterThan(40);
    const sets = [...users.filter((_, i) => i % 10 === 0).map((user) => [user]), users.slice(0, 12)];
    let types = 0;
    for (const set of sets) {
      const out = join(scratch, "min.btf");
      const paths = set.map(({ name }) => join(corpus.dir, name));
      execFileSync(selftestsBpftool(), ["gen", "min_core_btf", VMLINUX, out, ...paths]);
      const ours = minCoreBtf(target, set);
      types += ours.typeCount - 1;
      expect(Buffer.compare(ours.bytes, readFileSync(out)), paths.join(" ")).toBe(0);
    }
    expect(types).toBeGreaterThan(50);
  }, 600_000);
});

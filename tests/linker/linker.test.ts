import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LinkError } from "../../src/diag/index.ts";
import { parseElf } from "../../src/elf/index.ts";
import { BpfLinker, linkObjects } from "../../src/linker/index.ts";
import { BpfObject } from "../../src/loader/index.ts";
import { compareObjects } from "../../tools/compare-objects.ts";
import { compareLinking, LINKED_SETS, linkSets } from "../../tools/parity-linker.ts";
import { selftestsBpftool } from "../../tools/selftests-build.ts";
import { compileC } from "../support/compile.ts";
import { CORPUS_NEEDS, type Corpus, selftests } from "../support/corpus.ts";
import { want } from "../support/need.ts";

const scratch = mkdtempSync(join(tmpdir(), "tsbpf-linker-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const compiler = want("clang-19");

describe.skipIf(compiler.skip)(compiler.title("linking small sources"), () => {
  const link = (...sources: string[]): BpfObject => {
    const objects = sources.map((source, i) => ({ name: `${i + 1}.o`, bytes: compileC(source) }));
    return BpfObject.open(linkObjects(objects, { settle: true }));
  };
  const value = (object: BpfObject, name: string): unknown => object.globals.get(name);

  it("a weak definition gives way to a strong one, wherever it stands", () => {
    const weak = 'int level __weak = 1; SEC("tc") int a(void *ctx) { return level; }';
    const strong = 'int level = 2; SEC("tc") int b(void *ctx) { return level; }';
    expect(value(link(weak, strong), "level")).toBe(2);
    expect(value(link(strong, weak), "level")).toBe(2);
  });

  it("an extern becomes the definition that another object has", () => {
    const user =
      'extern int shared; extern int twice(int x); SEC("tc") int use(void *ctx) { return twice(shared); }';
    const owner = "int shared = 21; __noinline int twice(int x) { return 2 * x + shared; }";
    const object = link(user, owner);
    expect(value(object, "shared")).toBe(21);
    expect(object.link(object.programs["use"]!).functions.map(({ fn }) => fn.name)).toEqual(["use", "twice"]);
  });

  it("static variables of one name stay apart, and calls reach the own static function", () => {
    const source = (n: number): string =>
      `static volatile int counter = ${n}; static __noinline int bump(int x) { return x + counter; }
       SEC("tc") int p${n}(void *ctx) { return bump(${n}); }`;
    const object = link(source(1), source(2));
    for (const name of ["p1", "p2"])
      expect(object.link(object.programs[name]!).functions.map(({ fn }) => fn.name)).toEqual([name, "bump"]);
    const data =
      object.maps[".data"] ?? Object.values(object.maps).find((map) => map.sectionName === ".data");
    expect([...data!.initialValue!]).toEqual([1, 0, 0, 0, 2, 0, 0, 0]);
  });

  const map = (name: string, type: number, prefix = ""): string =>
    `${prefix} struct { __uint(type, ${type}); __uint(max_entries, 1); __type(key, int); __type(value, long); } ${name} __attribute__((section(".maps")));`;

  it.each([
    ["two strong definitions", ["int x = 1;", "int x = 2;"], /2\.o: 'x' is defined already/],
    [
      "types that differ",
      ["extern int x; int *p(void) { return &x; }", "long x = 2;"],
      /INT 'int' of 4 bytes/,
    ],
    [
      "parameters that differ",
      [
        "extern int f(int a); int g(void) { return f(1); }",
        "__noinline int f(int a, int b) { return a + b; }",
      ],
      /1 parameters here, 2 there/,
    ],
    [
      "maps that differ",
      [map("m", 1, "extern") + "void *p(void) { return &m; }", map("m", 2)],
      /map type: 1 here, 2 there/,
    ],
  ])("%s: refused", (_, sources, message) => {
    expect(() => link(...sources)).toThrow(message);
    expect(() => link(...sources)).toThrow(LinkError);
  });

  it("another licence is refused, and the linker is then of no use", () => {
    const linker = new BpfLinker();
    linker.add(compileC(""), "gpl.o");
    const bytes = compileC("");
    const { offset } = parseElf(bytes).section("license")!;
    bytes[offset] = 0x58;
    expect(() => linker.add(bytes, "other.o")).toThrow(
      "other.o: section license has other contents than before",
    );
    expect(() => linker.finish()).toThrow(LinkError);
  });

  it("nothing links to nothing", () => {
    expect(() => linkObjects([])).toThrow("there is nothing to write");
  });
});

const w = want(...CORPUS_NEEDS, "bpftool");

describe.skipIf(w.skip)(w.title("linking the 6.12 selftests"), () => {
  let corpus: Corpus;
  beforeAll(async () => {
    corpus = await selftests();
  }, 1_200_000);

  it("gives what bpftool gives: the linked sets, every twelfth object, some pairs", () => {
    const sets = linkSets(corpus.objects, 40).filter(
      (set, i) => i < LINKED_SETS.length || set.length > 1 || i % 12 === 0,
    );
    const results = sets.map((inputs) => compareLinking(corpus, inputs, scratch));
    expect(results.filter((r) => r.differences.length > 0).map((r) => [r.inputs, r.differences])).toEqual([]);
    expect(results.filter((r) => typeof r.ours !== "string").length).toBeGreaterThan(80);
  }, 300_000);

  it("loads and runs through libbpf as what bpftool links does", () => {
    const loader = buildLoader();
    for (const inputs of LINKED_SETS) {
      const name = inputs[0]!.replace(/\d.*/, "");
      // Three times over, as the selftests' Makefile does: only then are the offsets of resolved externs right.
      const ours = [join(scratch, `${name}-1.o`), join(scratch, `${name}-2.o`)];
      const first = linkObjects(inputs.map((input) => ({ name: input, bytes: corpus.read(input) })));
      const second = linkObjects([{ name, bytes: first }]);
      expect(compareObjects(linkObjects([{ name, bytes: second }]), second)).toEqual([]);
      writeFileSync(ours[0]!, first);
      writeFileSync(ours[1]!, second);
      const theirs = [join(scratch, `${name}-3.o`), join(scratch, `${name}-4.o`)];
      const gen = (out: string, paths: readonly string[]): Buffer =>
        execFileSync(selftestsBpftool(), ["gen", "object", out, ...paths]);
      gen(
        theirs[0]!,
        inputs.map((input) => join(corpus.dir, input)),
      );
      gen(theirs[1]!, [theirs[0]!]);
      const variables = variableArgs(second);
      const run = (path: string): string => execFileSync(loader, [path, ...variables], { encoding: "utf8" });
      for (const i of [0, 1]) expect(withoutThread(run(ours[i]!))).toBe(withoutThread(run(theirs[i]!)));
      const report = run(ours[1]!);
      expect(report.match(/^load \w+ 0$/gm)?.length, report).toBe(report.match(/^load /gm)?.length);
      expect(report).toMatch(/^run \w+ 0 \d+$/m);
    }
  }, 120_000);
});

/** tests/linker/load.c with the libbpf that lies beside the tree's bpftool. */
function buildLoader(): string {
  const libbpf = join(dirname(selftestsBpftool()), "libbpf");
  const out = join(scratch, "load");
  const source = fileURLToPath(new URL("load.c", import.meta.url));
  execFileSync("gcc", [
    "-O1",
    `-I${join(libbpf, "include")}`,
    source,
    join(libbpf, "libbpf.a"),
    "-lelf",
    "-lz",
    "-o",
    out,
  ]);
  return out;
}

/** Where the programs look for the thread and the system call that they care for. */
function variableArgs(bytes: Uint8Array): string[] {
  const { variables } = BpfObject.open(bytes).globals;
  return ["my_tid", "syscall_id"].flatMap((name) => {
    const variable = variables.get(name);
    return variable === undefined ? [] : [name, variable.map.sectionName, String(variable.offset)];
  });
}

/** The loader's thread id is in the data that it prints. */
function withoutThread(report: string): string {
  return report.replace(/^data \.rodata .*$/gm, "data .rodata");
}

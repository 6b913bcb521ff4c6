/** Linux 6.12's `core_reloc` selftest: each target's types against its program, run on both backends. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type Btf, parseBtf } from "../../src/btf/index.ts";
import { LoadError, VerifierRejection } from "../../src/diag/index.ts";
import { parseElf } from "../../src/elf/index.ts";
import { Kernel } from "../../src/kernel/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import { BpfObject } from "../../src/loader/index.ts";
import { BPF_PROG_TYPE_RAW_TRACEPOINT } from "../../src/uapi/index.ts";
import { CORPUS_NEEDS, type Corpus, selftests } from "../support/corpus.ts";
import { want } from "../support/need.ts";
import { type CoreRelocCase, coreRelocCases } from "./core-reloc/cases.ts";

const w = want(...CORPUS_NEEDS, "libelf");

/** struct data of every program: in[256], out[256], then a flag and the task that counts. */
const OUT = 256;

function targetOf(corpus: Corpus, c: CoreRelocCase): Btf {
  if (c.btf === "") return parseBtf(new Uint8Array(readFileSync("/sys/kernel/btf/vmlinux")));
  return parseBtf(parseElf(new Uint8Array(readFileSync(join(corpus.dir, c.btf)))).section(".BTF")!.data);
}

function open(corpus: Corpus, c: CoreRelocCase): BpfObject {
  const object = BpfObject.open(corpus.read(c.object), { name: "core" });
  for (const p of object.programList) p.autoload = p.name === c.program;
  const program = object.programs[c.program]!;
  // tp_btf/sys_enter reads its input from the map as the others do; raw tracepoints can be run on demand.
  program.type = BPF_PROG_TYPE_RAW_TRACEPOINT;
  (program as { section: undefined }).section = undefined;
  program.attachType = 0;
  return object;
}

/** The bytes that the program left in `out`. */
function run(corpus: Corpus, c: CoreRelocCase, target: Btf, backend: Kernel | LinuxBackend): Uint8Array {
  using live = open(corpus, c).load(backend, { targetBtf: target });
  const map = Object.values(live.maps).find((m) => m.name.endsWith(".bss"))!;
  const key = new Uint8Array(4);
  const value = map.lookupRaw(key)!;
  value.set(c.input, 0);
  const field = taskField(live.object.btf!);
  if (field !== undefined) {
    const isLinux = backend instanceof LinuxBackend;
    const tid = isLinux ? Number(readFileSync("/proc/thread-self/stat", "utf8").split(" ")[0]) : 1;
    const id = isLinux ? (BigInt(process.pid) << 32n) | BigInt(tid) : EMBEDDED_TASK;
    const at = live.globals.variables.get("data")!.offset + field;
    new DataView(value.buffer).setBigUint64(at, id, true);
  }
  map.updateRaw(key, value);
  const { err } = live.programs[c.program]!.testRun({});
  expect(err).toBe(0);
  return map.lookupRaw(key)!.subarray(OUT, OUT + c.output.length);
}

/** Where `my_pid_tgid` is in `data`; the programs that read directly do not look at the task. */
function taskField(btf: Btf): number | undefined {
  const variable = btf.type(btf.findByName("data", 14)!);
  const struct = "type" in variable ? btf.type(btf.skipModifiers(variable.type)) : undefined;
  const member =
    struct && "members" in struct ? struct.members.find((m) => m.name === "my_pid_tgid") : undefined;
  return member && member.bitOffset / 8;
}

/** What bpf_get_current_pid_tgid() gives on the embedded kernel. */
const EMBEDDED_TASK = (1n << 32n) | 1n;

describe.skipIf(w.skip)(w.title("core_reloc of the 6.12 selftests"), () => {
  let corpus: Corpus;
  let cases: readonly CoreRelocCase[] = [];
  let linux: LinuxBackend;

  beforeAll(async () => {
    corpus = await selftests();
    cases = coreRelocCases(corpus.dir).filter((c) => !c.testmod);
    linux = await LinuxBackend.open();
  }, 600_000);

  it("has its cases", () => {
    expect(cases.length).toBeGreaterThan(70);
    expect(cases.filter((c) => c.fails).length).toBeGreaterThan(15);
  });

  it("gives what the test expects on Linux, or fails where it does", () => {
    const wrong: string[] = [];
    for (const c of cases) {
      const target = targetOf(corpus, c);
      try {
        const out = run(corpus, c, target, linux);
        if (c.fails) wrong.push(`${c.name}: loads`);
        // The kernel case ends in this task's name, which is no relocation.
        else if (hex(out, c) !== hex(c.output, c))
          wrong.push(`${c.name}: ${hex(out, c)}, want ${hex(c.output, c)}`);
      } catch (error) {
        if (!(error instanceof LoadError || error instanceof VerifierRejection)) throw error;
        if (!c.fails) wrong.push(`${c.name}: ${error.message}`);
        else if (!/CO-RE/.test(error.message))
          wrong.push(`${c.name}: fails for another reason: ${error.message}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("gives the same on the embedded kernel", () => {
    const wrong: string[] = [];
    let ran = 0;
    for (const c of cases) {
      if (c.fails || c.btf === "") continue;
      const target = targetOf(corpus, c);
      // An instruction that must not be reached: no verifier yet that sees that it is not.
      if (open(corpus, c).link(c.program, { targetBtf: target }).failedRelocations.length > 0) continue;
      const out = run(corpus, c, target, new Kernel());
      if (hex(out, c) !== hex(c.output, c)) wrong.push(`${c.name}: ${hex(out, c)}, want ${hex(c.output, c)}`);
      ran++;
    }
    expect(wrong).toEqual([]);
    expect(ran).toBeGreaterThan(40);
  });

  it("says which access failed and why", () => {
    const told = (name: string): string[] => {
      const c = cases.find((k) => k.name === name)!;
      const linked = open(corpus, c).link(c.program, { targetBtf: targetOf(corpus, c) });
      return linked.failedRelocations.map(
        (f) => `${f.kind} ${f.access}: ${f.candidates.map((k) => k.reason).join("; ")}`,
      );
    };
    expect(told("nesting___err_missing_field")[0]).toMatch(
      /^byte_off struct core_reloc_nesting\.b\.b\.b \(0:1:0:0\): .* has no member 'b'$/,
    );
    expect(told("arrays___err_too_small")[0]).toMatch(/element \d of an array of \d/);
  });
});

function hex(bytes: Uint8Array, c: CoreRelocCase): string {
  const text = Buffer.from(bytes).toString("hex");
  return c.btf === "" ? text.slice(0, 80) : text;
}

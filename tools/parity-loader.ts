/**
 * How far opening, CO-RE relocation and linking agree with libbpf 1.5: every program of Linux 6.12's BPF selftests,
 * linked against the recorded kernel's BTF, beside the instructions that libbpf passed to PROG_LOAD on that kernel.
 *
 *   npm run parity -- loader [--json]
 *
 * What was recorded depends on more than the object for two groups, which are counted apart: addresses of untyped
 * ksyms (/proc/kallsyms of the recording machine), and programs whose type the recorder chose (freplace, no section).
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Btf, parseBtf } from "../src/btf/index.ts";
import { LoadError, TsbpfError } from "../src/diag/index.ts";
import { BpfObject, type LinkedProgram, type ProgramSpec } from "../src/loader/index.ts";
import { BPF_PROG_TYPE_EXT, BPF_PROG_TYPE_STRUCT_OPS, BPF_PROG_TYPE_UNSPEC } from "../src/uapi/index.ts";
import { type Corpus, selftests } from "../tests/support/corpus.ts";
import { kernelBtf, type RecordedInsns, recordedRows } from "../tests/support/recorded.ts";
import type { ParityReport } from "./parity.ts";

const LD_IMM64 = 0x18;
const BPF_PSEUDO_MAP_FD = 1;
const BPF_PSEUDO_MAP_VALUE = 2;
/** BPF_F_SLEEPABLE | BPF_F_XDP_HAS_FRAGS: the flags that sections give; the recorder set others. */
const SECTION_FLAGS = 0x30;
/** The kernel's own addresses. */
const NEEDS_KALLSYMS = /extern '\w+' \(strong\): not resolved/;
/** Tests that name a BTF file of their own to relocate against. */
const CUSTOM_BTF: Readonly<Record<string, string>> = {
  "verifier_bitfield_write.bpf.o": "btf__core_reloc_bitfields.bpf.o",
};

export interface LoaderParity {
  readonly programs: number;
  /** Same instructions, maps, type, attach type, flags and license. */
  readonly equal: number;
  /** With CO-RE relocations or kernel functions and variables, of `programs` and of `equal`. */
  readonly relocated: number;
  readonly relocatedEqual: number;
  /** Not comparable: addresses of the recording machine's kernel. */
  readonly kallsyms: number;
  readonly differences: readonly string[];
}

/** Wants the corpus, `xz` and the recorded data. */
export async function measureLoader(): Promise<LoaderParity> {
  const rows = recordedRows<RecordedInsns>("selftests-6.12.insns");
  const corpus = await selftests([...new Set(rows.map((r) => r.obj.replace(/\.bpf\.o$/, "")))]);
  const kernel = parseBtf(new Uint8Array(readFileSync(kernelBtf("6.18")!)));
  const objects = new Map<string, BpfObject>();
  const differences: string[] = [];
  const count = { programs: 0, equal: 0, relocated: 0, relocatedEqual: 0, kallsyms: 0 };
  for (const row of rows) {
    const what = `${row.obj} ${row.prog}`;
    try {
      let object = objects.get(row.obj);
      if (object === undefined) {
        object = BpfObject.open(corpus.read(row.obj), { name: row.obj.replace(/\..*/, "") });
        objects.set(row.obj, object);
      }
      const program = object.programs[row.prog];
      if (program === undefined) throw new LoadError("no such program");
      const linked = object.link(program, { targetBtf: customBtf(corpus, row.obj) ?? kernel, kconfig: "" });
      const relocated = linked.functions.some(
        ({ fn }) => object.coreRelocations.has(fn) || fn.relocations.some((r) => r.kind === "extern"),
      );
      count.programs++;
      if (relocated) count.relocated++;
      const difference = compare(object, program, linked, row);
      if (difference !== undefined) differences.push(`${what}: ${difference}`);
      else {
        count.equal++;
        if (relocated) count.relocatedEqual++;
      }
    } catch (error) {
      if (!(error instanceof TsbpfError)) throw error;
      if (NEEDS_KALLSYMS.test(error.message)) count.kallsyms++;
      else {
        count.programs++;
        differences.push(`${what}: ${error.message}`);
      }
    }
  }
  return { ...count, differences };
}

function customBtf(corpus: Corpus, object: string): Btf | undefined {
  const name = CUSTOM_BTF[object];
  if (name === undefined || !existsSync(join(corpus.dir, name))) return undefined;
  return BpfObject.open(new Uint8Array(readFileSync(join(corpus.dir, name)))).btf;
}

function compare(
  object: BpfObject,
  program: ProgramSpec,
  linked: LinkedProgram,
  row: RecordedInsns,
): string | undefined {
  const want = Uint8Array.from(Buffer.from(row.insns, "hex"));
  const got = linked.insns;
  if (got.length !== want.length) return `${got.length / 8} instructions, want ${want.length / 8}`;
  const [wantView, gotView] = [new DataView(want.buffer), new DataView(got.buffer, got.byteOffset)];
  // Where the recorder lost a map's name, the same fd must still mean the same map.
  const names = new Map<number, string>();
  for (let at = 0; at < want.length; at += 8) {
    const source = want[at + 1]! >>> 4;
    const isMap = want[at] === LD_IMM64 && (source === BPF_PSEUDO_MAP_FD || source === BPF_PSEUDO_MAP_VALUE);
    if (isMap && got[at] === LD_IMM64 && got[at + 1] === want[at + 1]) {
      const fd = wantView.getInt32(at + 4, true);
      const name = object.mapList[gotView.getInt32(at + 4, true)]!.name.slice(0, 15);
      const recorded = row.fds[fd]?.slice(0, 15) ?? names.get(fd) ?? name;
      names.set(fd, recorded);
      if (name !== recorded) return `insn ${at / 8}: map ${name}, want ${recorded}`;
      at += 8;
      if (wantView.getInt32(at + 4, true) !== gotView.getInt32(at + 4, true))
        return `insn ${at / 8}: offset in map`;
      continue;
    }
    if (want.subarray(at, at + 8).some((b, i) => b !== got[at + i]))
      return `insn ${at / 8}: ${hex(got, at)}, want ${hex(want, at)}`;
  }
  const chosen = program.type === BPF_PROG_TYPE_UNSPEC || program.type === BPF_PROG_TYPE_EXT;
  if (!chosen && program.type !== row.prog_type) return `type ${program.type}, want ${row.prog_type}`;
  // struct_ops: the member's index, which needs the kernel's type.
  if (!chosen && program.type !== BPF_PROG_TYPE_STRUCT_OPS && program.attachType !== row.expected_attach_type)
    return `attach type ${program.attachType}, want ${row.expected_attach_type}`;
  if (program.flags !== (row.prog_flags & SECTION_FLAGS))
    return `flags ${program.flags}, want ${row.prog_flags}`;
  return object.license === row.license ? undefined : `license ${object.license}, want ${row.license}`;
}

function hex(bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.subarray(at, at + 8)).toString("hex");
}

export async function parity(): Promise<ParityReport> {
  const r = await measureLoader();
  const summary = `loader: streams ${r.equal}/${r.programs}, of these with CO-RE or externs ${r.relocatedEqual}/${r.relocated}, kallsyms ${r.kallsyms} not compared`;
  return { summary, notes: r.differences, rows: [r], ok: r.differences.length === 0 };
}

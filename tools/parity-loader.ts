/**
 * How far opening, CO-RE relocation, linking and loading agree with libbpf 1.5, over Linux 6.12's BPF selftests.
 *
 * streams: every program that was recorded, linked against the recorded kernel's BTF, beside the instructions that
 * libbpf passed to PROG_LOAD on that kernel.
 * attributes: of these programs, type, attach type, flags, attach_btf_id and licence as recorded; and, as the recording
 * has no maps, every attribute of every map and program that libbpf itself passes (tools/libbpf) for every object.
 *
 *   npm run parity -- loader [--json]
 *
 * Addresses of untyped ksyms are those of the recording machine: the recording tells them, and every instruction that
 * names one must agree. Not compared: what the recorder chose (the type of programs whose section tells none, and what
 * freplace programs replace).
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Btf, parseBtf } from "../src/btf/index.ts";
import { LoadError, TsbpfError } from "../src/diag/index.ts";
import { BpfObject, type LinkedProgram, type LinkOptions, type ProgramSpec } from "../src/loader/index.ts";
import { BPF_PROG_TYPE_EXT, BPF_PROG_TYPE_UNSPEC } from "../src/uapi/index.ts";
import { type Corpus, selftests } from "../tests/support/corpus.ts";
import { kernelBtf, type RecordedInsns, recordedRows } from "../tests/support/recorded.ts";
import { compareWithLibbpf, type LibbpfComparison } from "./libbpf/compare.ts";
import type { ParityReport } from "./parity.ts";

const LD_IMM64 = 0x18;
const BPF_PSEUDO_MAP_FD = 1;
const BPF_PSEUDO_MAP_VALUE = 2;
/** BPF_F_SLEEPABLE | BPF_F_XDP_HAS_FRAGS: the flags that sections give; the recorder set others. */
const SECTION_FLAGS = 0x30;
/** Tests that name a BTF file of their own to relocate against. */
const CUSTOM_BTF: Readonly<Record<string, string>> = {
  "verifier_bitfield_write.bpf.o": "btf__core_reloc_bitfields.bpf.o",
};

export interface LoaderParity {
  readonly programs: number;
  /** The same instructions and maps. */
  readonly equal: number;
  /** With CO-RE relocations or kernel functions and variables, of `programs` and of `equal`. */
  readonly relocated: number;
  readonly relocatedEqual: number;
  /** Values compared one by one, beside the recording. */
  readonly attributes: number;
  readonly attributesEqual: number;
  /** Programs of which the recorder chose the type or target. */
  readonly chosen: number;
  readonly differences: readonly string[];
}

/** Wants the corpus, `xz` and the recorded data. */
export async function measureLoader(): Promise<LoaderParity> {
  const rows = recordedRows<RecordedInsns>("selftests-6.12.insns");
  const corpus = await selftests([...new Set(rows.map((r) => r.obj.replace(/\.bpf\.o$/, "")))]);
  const kernel = parseBtf(new Uint8Array(readFileSync(kernelBtf("6.18")!)));
  const objects = new Map<string, BpfObject>();
  const differences: string[] = [];
  const addresses = new Map<string, bigint>();
  const count = {
    programs: 0,
    equal: 0,
    relocated: 0,
    relocatedEqual: 0,
    attributes: 0,
    attributesEqual: 0,
    chosen: 0,
  };
  for (const row of rows) {
    const what = `${row.obj} ${row.prog}`;
    count.programs++;
    try {
      let object = objects.get(row.obj);
      if (object === undefined) {
        object = BpfObject.open(corpus.read(row.obj), { name: row.obj.replace(/\..*/, "") });
        objects.set(row.obj, object);
      }
      const program = object.programs[row.prog];
      if (program === undefined) throw new LoadError("no such program");
      const want = Uint8Array.from(Buffer.from(row.insns, "hex"));
      const options = { targetBtf: customBtf(corpus, row.obj) ?? kernel, kconfig: "" };
      learnAddresses(object, program, options, want, addresses);
      const linked = object.link(program, { ...options, ksym: (name) => addresses.get(name) });
      const relocated = linked.functions.some(
        ({ fn }) => object.coreRelocations.has(fn) || fn.relocations.some((r) => r.kind === "extern"),
      );
      if (relocated) count.relocated++;
      const difference = compare(object, linked, want, row);
      if (difference !== undefined) differences.push(`${what}: ${difference}`);
      else {
        count.equal++;
        if (relocated) count.relocatedEqual++;
      }
      const chosen = program.type === BPF_PROG_TYPE_UNSPEC || program.type === BPF_PROG_TYPE_EXT;
      if (chosen) count.chosen++;
      for (const [name, have, recorded] of attributes(object, linked, row, chosen)) {
        count.attributes++;
        if (have === recorded) count.attributesEqual++;
        else differences.push(`${what}: ${name} ${have}, want ${recorded}`);
      }
    } catch (error) {
      if (!(error instanceof TsbpfError)) throw error;
      differences.push(`${what}: ${error.message}`);
    }
  }
  return { ...count, differences };
}

/** Takes addresses of untyped ksyms from where the recorded stream has them; one name, one address. */
function learnAddresses(
  object: BpfObject,
  program: ProgramSpec,
  options: LinkOptions,
  want: Uint8Array,
  addresses: Map<string, bigint>,
): void {
  if (!object.externs.some((e) => e.kind === "ksym" && e.typeId === 0)) return;
  const { functions } = object.link(program, { ...options, ksym: () => 0n });
  const view = new DataView(want.buffer);
  for (const { insn, fn } of functions)
    for (const relocation of fn.relocations) {
      if (relocation.kind !== "extern" || relocation.extern.kind !== "ksym" || relocation.extern.typeId !== 0)
        continue;
      const at = (insn + relocation.insn) * 8;
      if (at + 16 > want.length || want[at] !== LD_IMM64) continue;
      const { name } = relocation.extern;
      const address = (BigInt(view.getUint32(at + 12, true)) << 32n) | BigInt(view.getUint32(at + 4, true));
      // Kernel addresses, or 0 for a weak one that is not there.
      if (!addresses.has(name) && (address === 0n || address >> 47n === 0x1ffffn))
        addresses.set(name, address);
    }
}

function attributes(
  object: BpfObject,
  linked: LinkedProgram,
  row: RecordedInsns,
  chosen: boolean,
): [name: string, have: unknown, want: unknown][] {
  const rows: [string, unknown, unknown][] = [
    ["flags", linked.flags, row.prog_flags & SECTION_FLAGS],
    ["license", object.license, row.license],
  ];
  if (!chosen)
    rows.push(
      ["type", linked.type, row.prog_type],
      ["attach type", linked.attachType, row.expected_attach_type],
      ["attach_btf_id", linked.attach?.btfId ?? 0, row.attach_btf_id],
    );
  return rows;
}

function customBtf(corpus: Corpus, object: string): Btf | undefined {
  const name = CUSTOM_BTF[object];
  if (name === undefined || !existsSync(join(corpus.dir, name))) return undefined;
  return BpfObject.open(new Uint8Array(readFileSync(join(corpus.dir, name)))).btf;
}

function compare(
  object: BpfObject,
  linked: LinkedProgram,
  want: Uint8Array,
  row: RecordedInsns,
): string | undefined {
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
  return undefined;
}

function hex(bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.subarray(at, at + 8)).toString("hex");
}

/** libbpf itself over every object of the corpus. Wants gcc, libelf and zlib besides. */
export async function measureAgainstLibbpf(only?: readonly string[]): Promise<LibbpfComparison> {
  const corpus = await selftests(only);
  const path = kernelBtf("6.18") ?? "/sys/kernel/btf/vmlinux";
  return compareWithLibbpf(path, parseBtf(new Uint8Array(readFileSync(path))), corpus.dir, corpus.objects);
}

export async function parity(): Promise<ParityReport> {
  const r = await measureLoader();
  const l = await measureAgainstLibbpf();
  const attributes = r.attributes + l.attributes;
  const equal = r.attributesEqual + l.attributesEqual;
  const notes = [
    ...r.differences,
    ...l.differences,
    ...l.accepted.map((what) => `${what}; we take it`),
    `of ${r.programs} recorded programs ${r.relocated} have CO-RE relocations or externs, ${r.relocatedEqual} of them equal; for ${r.chosen} the recorder chose a type or target`,
    `libbpf itself: ${l.programs} programs, each loaded alone: ${l.programsEqual} equal in everything, ${l.bothRefuse} refused by both, ${l.accepted.length} loads refused by libbpf only; ${l.maps} maps`,
  ];
  const summary = `loader: streams ${r.equal}/${r.programs}, attributes ${equal}/${attributes}`;
  return { summary, notes, rows: [r, l], ok: r.differences.length + l.differences.length === 0 };
}

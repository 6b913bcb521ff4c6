/**
 * The return values that Linux 6.12's BPF selftests annotate (`__retval`), on the embedded kernel with both engines: each
 * program is opened, loaded with the programs that its program arrays name, and run as the selftests' runner
 * (test_loader.c, do_prog_test_run) does: 64 zero bytes of data, nothing for syscall programs.
 *
 *   npm run parity -- retval [--only SUBSTRING] [--unchecked]
 */
import { TsbpfError, VerifierRejection } from "../src/diag/index.ts";
import { Kernel } from "../src/kernel/index.ts";
import { BpfObject, type LoadedObject } from "../src/loader/index.ts";
import { BPF_MAP_TYPE_PROG_ARRAY, BPF_PROG_TYPE_SYSCALL, errnoName } from "../src/uapi/index.ts";
import { type Corpus, selftests } from "../tests/support/corpus.ts";
import { type RecordedProgram, recordedRows } from "../tests/support/recorded.ts";
import type { ParityReport } from "./parity.ts";

/** test_loader.c: any value will do. */
const POINTER_VALUE = 0xcafe4a;
const TEST_DATA_LEN = 64;

interface Row {
  readonly obj: string;
  readonly prog: string;
  readonly engine: "jit" | "interp";
  readonly expected: number;
  /** undefined: it did not run. */
  readonly retval: number | undefined;
  readonly right: boolean;
  readonly text: string;
  /** The feature without which it cannot run. */
  readonly waits: string | undefined;
}

/**
 * What the runner puts into maps before (init_array_access_maps and init_value_ptr_arith_maps of prog_tests/verifier.c):
 * struct test_val { unsigned index; int foo[11]; } with index 28 and foo[6] 0xabcdef12.
 */
const PREPARED: Readonly<Record<string, string>> = {
  "verifier_array_access.bpf.o": "map_array_ro",
  "verifier_value_ptr_arith.bpf.o": "map_array_48b",
};

function prepareMaps(live: LoadedObject, obj: string): void {
  const map = live.maps[PREPARED[obj] ?? ""];
  if (map === undefined) return;
  const value = new Uint8Array(48);
  const view = new DataView(value.buffer);
  view.setUint32(0, 28, true);
  view.setUint32(4 + 6 * 4, 0xabcdef12, true);
  map.updateRaw(new Uint8Array(4), value);
}

/** Loads `prog`, what its program arrays name, and the maps that those use. */
function load(kernel: Kernel, object: BpfObject, prog: string): LoadedObject {
  const programs = new Set([prog]);
  const maps = new Set<string>();
  for (const name of programs)
    for (const { map } of object.link(name).mapReferences) {
      maps.add(map.name);
      for (const slot of map.initialSlots.values())
        (map.type === BPF_MAP_TYPE_PROG_ARRAY ? programs : maps).add(slot);
    }
  for (const spec of object.programList) spec.autoload = programs.has(spec.name);
  for (const spec of object.mapList) spec.autocreate &&= maps.has(spec.name);
  return object.load(kernel);
}

/** What a program that does not load or run waits for; undefined: nothing of the kind. */
function waitsFor(error: TsbpfError, object: BpfObject): string | undefined {
  const text = error instanceof VerifierRejection ? error.log : error.message;
  const strong = /extern '(\w+)'/.exec(text)?.[1];
  if (strong !== undefined) return `kfunc ${strong}`;
  // What libbpf leaves of a call of a weak kfunc that is not there.
  const weak = /unknown#2002(\d{6})/.exec(text)?.[1];
  if (weak !== undefined) return `kfunc ${object.externs[Number(weak)]?.name ?? weak}`;
  const map = /failed to create (BPF_MAP_TYPE_\w+)/.exec(text)?.[1];
  if (map !== undefined) return map;
  if (/arena/.test(text)) return "BPF_MAP_TYPE_ARENA";
  if (/write to r10/.test(text)) return "the verifier's removal of dead code";
  return undefined;
}

/** What the verifier would allow and the bounds-checked mode cannot: `obj prog`. */
const WAITS: Readonly<Record<string, string>> = {
  "verifier_map_ptr.bpf.o ptr_read_ops_field_accepted": "reads of kernel structs through BTF pointers",
};

function run(corpus: Corpus, row: RecordedProgram, engine: Row["engine"], unchecked: boolean): Row {
  const { obj } = row;
  const prog = row.prog!;
  const expected = row.expect!.retval!;
  const base = { obj, prog, engine, expected, retval: undefined, right: false, waits: undefined };
  const kernel = new Kernel({ engine, unchecked, maxBytes: 64 << 20 });
  const object = BpfObject.open(corpus.read(obj), { name: obj.split(".")[0]! });
  try {
    const loaded = load(kernel, object, prog);
    prepareMaps(loaded, obj);
    const live = loaded.programs[prog]!;
    const bare = live.spec.type === BPF_PROG_TYPE_SYSCALL;
    const result = live.testRun(
      bare ? {} : { data_in: new Uint8Array(TEST_DATA_LEN), data_size_out: TEST_DATA_LEN << 2, repeat: 1 },
    );
    if (result.err < 0) return { ...base, text: `BPF_PROG_TEST_RUN: ${errnoName(result.err)}` };
    const retval = result.retval | 0;
    const right = expected === POINTER_VALUE || retval === (expected | 0);
    return { ...base, retval, right, text: right ? "" : `returned ${retval}, not ${expected | 0}` };
  } catch (error) {
    if (!(error instanceof TsbpfError)) {
      const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      return { ...base, text: `our bug: ${text}` };
    }
    const log = error instanceof VerifierRejection ? (error.log.trimEnd().split("\n").at(-1) ?? "") : "";
    return { ...base, text: log || error.message, waits: WAITS[`${obj} ${prog}`] ?? waitsFor(error, object) };
  }
}

export async function parity(args: readonly string[]): Promise<ParityReport> {
  const at = args.indexOf("--only");
  const only = at >= 0 ? args[at + 1]! : "";
  const programs = recordedRows<RecordedProgram>("selftests-6.12").filter(
    (row) =>
      row.run !== undefined &&
      typeof row.expect?.retval === "number" &&
      `${row.obj} ${row.prog}`.includes(only),
  );
  const corpus = await selftests();
  const rows: Row[] = [];
  for (const engine of ["jit", "interp"] as const)
    for (const row of programs) rows.push(run(corpus, row, engine, args.includes("--unchecked")));
  const notes: string[] = [];
  // One line a feature, one line a program for everything else.
  const waiting = new Map<string, string[]>();
  for (const { obj, prog, waits } of rows.filter((row) => row.waits !== undefined && row.engine === "jit"))
    waiting.set(waits!, [...(waiting.get(waits!) ?? []), `${obj.split(".")[0]} ${prog}`]);
  for (const [feature, names] of [...waiting].sort((a, b) => b[1].length - a[1].length))
    notes.push(`waits: ${feature}: ${names.length} (${names.join(", ")})`);
  for (const row of rows)
    if (!row.right && row.waits === undefined)
      notes.push(`wrong: ${row.engine} ${row.obj} ${row.prog}: ${row.text}`);
  const figure = (engine: Row["engine"]): string => {
    const mine = rows.filter((row) => row.engine === engine);
    return `${engine} ${mine.filter((row) => row.right).length}/${mine.length}`;
  };
  return {
    summary: `retval: ${figure("jit")}, ${figure("interp")}`,
    notes,
    rows,
    ok: rows.every((row) => row.right || row.waits !== undefined),
  };
}

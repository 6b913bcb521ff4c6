/**
 * The return values that Linux 6.12's BPF selftests annotate (`__retval`), on the embedded kernel with both engines: each
 * program is opened, loaded with the programs that its program arrays name, and run as the selftests' runner
 * (test_loader.c, do_prog_test_run) does: 64 zero bytes of data, nothing for syscall programs.
 *
 *   npm run parity -- retval [--only SUBSTRING] [--unchecked]
 */
import { InternalError, TsbpfError, VerifierRejection } from "../src/diag/index.ts";
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

function load(kernel: Kernel, bytes: Uint8Array, obj: string, prog: string): LoadedObject {
  const object = BpfObject.open(bytes, { name: obj.split(".")[0]! });
  const wanted = new Set([prog]);
  for (const map of object.mapList)
    if (map.type === BPF_MAP_TYPE_PROG_ARRAY) for (const name of map.initialSlots.values()) wanted.add(name);
  for (const spec of object.programList) spec.autoload = wanted.has(spec.name);
  return object.load(kernel);
}

function run(corpus: Corpus, row: RecordedProgram, engine: Row["engine"], unchecked: boolean): Row {
  const { obj, prog } = row;
  const expected = row.expect!.retval!;
  const base = { obj, prog: prog!, engine, expected };
  const kernel = new Kernel({ engine, unchecked, maxBytes: 64 << 20, maxSteps: 10_000_000 });
  try {
    const object = load(kernel, corpus.read(obj), obj, prog!);
    prepareMaps(object, obj);
    const live = object.programs[prog!]!;
    const bare = live.spec.type === BPF_PROG_TYPE_SYSCALL;
    const result = live.testRun(
      bare ? {} : { data_in: new Uint8Array(TEST_DATA_LEN), data_size_out: TEST_DATA_LEN << 2, repeat: 1 },
    );
    if (result.err < 0)
      return {
        ...base,
        retval: undefined,
        right: false,
        text: `BPF_PROG_TEST_RUN: ${errnoName(result.err)}`,
      };
    const retval = result.retval | 0;
    const right = expected === POINTER_VALUE || retval === (expected | 0);
    return { ...base, retval, right, text: right ? "" : `returned ${retval}, not ${expected | 0}` };
  } catch (error) {
    if (error instanceof InternalError || !(error instanceof TsbpfError)) {
      const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      return { ...base, retval: undefined, right: false, text: `OUR BUG: ${text}` };
    }
    const log = error instanceof VerifierRejection ? (error.log.trimEnd().split("\n").at(-1) ?? "") : "";
    return { ...base, retval: undefined, right: false, text: log || error.message };
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
  const notes = rows
    .filter((row) => !row.right)
    .map((row) => `${row.engine} ${row.obj} ${row.prog}: ${row.text}`);
  const figure = (engine: Row["engine"]): string => {
    const mine = rows.filter((row) => row.engine === engine);
    return `${engine} ${mine.filter((row) => row.right).length}/${mine.length}`;
  };
  return {
    summary: `retval: ${figure("jit")}, ${figure("interp")}`,
    notes,
    rows,
    ok: rows.every((row) => row.right),
  };
}

/**
 * Broken object files, type information and instructions: whatever reads them gives an error of this package within a
 * second, and nothing else.
 *
 *   npx tsx tools/fuzz-parsers.ts [--count N] [--seed FIRST] [--only elf|btf|split|link|insns] [--save DIR]
 *
 * Input SEED is made from SEED alone. Ends in `fuzz parsers: N inputs, F failures`; exit status 1 when F > 0. A failing
 * input is described with its seed, and kept in DIR where that is given.
 */
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  assemble,
  decodeClassic,
  disassemble,
  disassembleClassic,
  validate,
  validateClassic,
} from "../src/asm/index.ts";
import {
  type Btf,
  BtfBuilder,
  BtfDumper,
  btfRawJson,
  btfRawText,
  type CoreUser,
  compareTypes,
  convertBtf,
  dedupBtf,
  dumpHeader,
  formatValue,
  minCoreBtf,
  parseBtf,
  parseBtfExt,
  parseValue,
} from "../src/btf/index.ts";
import { TsbpfError } from "../src/diag/index.ts";
import { parseElf } from "../src/elf/index.ts";
import { linkObjects } from "../src/linker/index.ts";
import { BpfObject, generateSkeleton, Skeleton } from "../src/loader/index.ts";
import { RecordingBackend } from "../tests/support/recording-backend.ts";
import { sampleBtf, sampleInsns, sampleObject } from "../tests/support/samples.ts";
import { structOpsKernelBtf, structOpsObject } from "../tests/support/struct-ops-sample.ts";

export type Subject = "elf" | "btf" | "insns" | "split" | "link";
const SUBJECTS: readonly Subject[] = ["elf", "btf", "insns", "split", "link"];
/** An input that takes more processor time is a failure. */
const LIMIT_MS = 1000;

export interface FuzzFailure {
  readonly seed: number;
  readonly subject: Subject;
  readonly what: string;
  readonly input: Uint8Array;
}

export interface FuzzReport {
  readonly inputs: number;
  readonly slowestMs: number;
  /** Inputs that were read to the end without an error: mutations that matter are between the two. */
  readonly accepted: number;
  readonly failures: readonly FuzzFailure[];
}

/** xorshift32: the same numbers everywhere. */
class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) | 1;
    for (let i = 0; i < 4; i++) this.below(2);
  }
  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % limit;
  }
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

const INTERESTING = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 63, 64, 127, 128, 255, 256, 0x7fff, 0x8000, 0xffff, 0x10000,
  0xfffff, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff,
];

/** One to eight changes; `other` lends bytes. */
function mutate(random: Random, seed: Uint8Array, other: Uint8Array): Uint8Array {
  let bytes = Uint8Array.from(seed);
  const changes = 1 + random.below(8);
  for (let i = 0; i < changes && bytes.length > 8; i++) {
    const at = random.below(bytes.length);
    const room = bytes.length - at;
    const view = new DataView(bytes.buffer);
    switch (random.below(10)) {
      case 0:
        bytes[at] = bytes[at]! ^ (1 << random.below(8));
        break;
      case 1:
        bytes[at] = random.below(256);
        break;
      case 2:
      case 3:
      case 4: {
        // Fields are aligned.
        const word = at & ~3;
        if (word + 4 <= bytes.length) view.setUint32(word, random.pick(INTERESTING), true);
        break;
      }
      case 5: {
        const word = at & ~3;
        if (word + 4 <= bytes.length)
          view.setUint32(word, (view.getUint32(word, true) + random.below(17) - 8) >>> 0, true);
        break;
      }
      case 6:
        bytes = bytes.slice(0, at + 1);
        break;
      case 7:
        bytes.fill(0, at, at + random.below(Math.min(room, 64)));
        break;
      case 8: {
        const from = random.below(other.length);
        bytes.set(other.subarray(from, from + Math.min(room, 1 + random.below(64))), at);
        break;
      }
      default:
        bytes.copyWithin(at, random.below(bytes.length), random.below(bytes.length));
    }
  }
  return bytes;
}

/** Larger ones would have the backend, which is none, make their memory. */
const MAX_MAPS_SIZE = 1 << 20;

function readObject(bytes: Uint8Array, target: Btf, structOpsTarget: Btf): void {
  const elf = parseElf(bytes);
  for (let i = 0; i < elf.symbolCount; i++) attempt(() => elf.symbol(i));
  for (const section of elf.sections)
    if (section.type === 4 || section.type === 9) attempt(() => elf.relocations(section));
  const object = BpfObject.open(bytes, { name: "fuzz" });
  for (const program of object.programList) {
    attempt(() => object.link(program));
    attempt(() => object.link(program, { targetBtf: target, ksym: () => 1n, kfunc: () => 7 }));
  }
  attempt(() => object.kconfig({ kconfig: "CONFIG_A=y\nCONFIG_HZ=250\n" }));
  for (const variable of object.globals.variables.values())
    if (variable.map.valueSize < 1 << 16) attempt(() => object.globals.get(variable.name));
  if (object.btf !== undefined) readTypes(object.btf);
  attempt(() => generateSkeleton(bytes, { name: "fuzz" }));
  for (const targetBtf of [target, structOpsTarget]) {
    attempt(() => object.structOps({ targetBtf }));
    for (const program of object.programList) attempt(() => object.link(program, { targetBtf }));
    if (object.mapList.reduce((sum, map) => sum + map.valueSize, 0) > MAX_MAPS_SIZE) continue;
    const skeleton = attempt(() => new Skeleton(bytes, { name: "fuzz" }));
    if (skeleton === undefined) continue;
    for (const members of Object.values(skeleton.structOps as Record<string, Record<string, unknown>>))
      for (const name of Object.keys(members)) attempt(() => members[name]);
    const options = { targetBtf, kconfig: "CONFIG_A=y\nCONFIG_HZ=250\n", ksym: () => 1n, kfunc: () => 7 };
    attempt(() => skeleton.load(new RecordingBackend(2), options).attach());
  }
}

function readTypes(btf: Btf): void {
  const bytes = new Uint8Array(256);
  for (let id = 0; id < Math.min(btf.typeCount, 60); id++) {
    attempt(() => btfRawText(btf, id));
    attempt(() => btf.alignOf(id));
    attempt(() => btf.skipModifiers(id));
    const size = attempt(() => btf.resolveSize(id));
    if (size === undefined || size > bytes.length) continue;
    const value = attempt(() => formatValue(btf, id, bytes));
    if (value !== undefined) attempt(() => parseValue(btf, id, value));
  }
  for (const name of ["task", "a", "main", ".maps"]) attempt(() => btf.findByName(name));
}

/** The result, or undefined for an error of ours; others pass. */
function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof TsbpfError) return undefined;
    throw error;
  }
}

/** What walks whole graphs of types: a cycle or an absurd length must end in an error there, too. */
function walkTypes(btf: Btf): void {
  for (const unsorted of [true, false]) attempt(() => drain(dumpHeader(btf, { unsorted })));
  const dumper = attempt(() => new BtfDumper(btf));
  for (let id = 0; id < Math.min(btf.typeCount, 60); id++) {
    attempt(() => dumper?.declaration(id, "x"));
    attempt(() => compareTypes(btf, id, btf, id));
  }
  attempt(() => drain(btfRawJson(btf, { pretty: true })));
  attempt(() => convertBtf(btf, !btf.littleEndian));
  const unique = attempt(() => dedupBtf(btf));
  if (unique !== undefined) attempt(() => dedupBtf(unique.btf));
  attempt(() => {
    const builder = new BtfBuilder(btf.base);
    builder.append(btf);
    builder.append(btf);
    dedupBtf(builder.toBtf());
  });
}

function drain(pieces: Iterable<unknown>): void {
  for (const piece of pieces) void piece;
}

function linkAll(bytes: Uint8Array, seeds: Seeds): void {
  const input = { name: "input.o", bytes };
  for (const good of seeds.elf) {
    attempt(() => linkObjects([input, { name: "good.o", bytes: good }]));
    attempt(() => linkObjects([{ name: "good.o", bytes: good }, input]));
  }
  const linked = linkObjects([input], { settle: true });
  // What comes out can be read.
  attempt(() => BpfObject.open(linked, { name: "linked" }));
  linkObjects([{ name: "linked.o", bytes: linked }]);
}

function readInsns(bytes: Uint8Array): void {
  attempt(() => validate(bytes));
  for (const dialect of ["llvm", "kernel"] as const) {
    const text = attempt(() => disassemble(bytes, { dialect }));
    if (text !== undefined) attempt(() => assemble(text, { dialect }));
    // The same bytes as text.
    attempt(() => assemble(new TextDecoder("latin1").decode(bytes), { dialect }));
  }
  const classic = attempt(() => decodeClassic(bytes.subarray(0, bytes.length & ~7)));
  if (classic !== undefined) {
    attempt(() => validateClassic(classic));
    attempt(() => disassembleClassic(classic));
  }
}

/** What inputs are made from. */
interface Seeds {
  readonly elf: readonly Uint8Array[];
  readonly btf: readonly Uint8Array[];
  readonly insns: readonly Uint8Array[];
  readonly split: readonly Uint8Array[];
  readonly link: readonly Uint8Array[];
  readonly target: Btf;
  readonly structOpsTarget: Btf;
  readonly users: readonly CoreUser[];
}

function collectSeeds(): Seeds {
  const elf = [sampleObject(), structOpsObject()];
  const firewall = fileURLToPath(new URL("../examples/firewall/firewall.bpf.o", import.meta.url));
  if (existsSync(firewall)) elf.push(new Uint8Array(readFileSync(firewall)));
  const sections = elf.flatMap((bytes) => {
    const file = parseElf(bytes);
    return file.sections.map((s) => ({
      name: s.name,
      data: Uint8Array.from(s.data),
      code: (s.flags & 4) !== 0,
    }));
  });
  const target = parseBtf(sampleBtf());
  return {
    elf,
    btf: sections.filter((s) => s.name === ".BTF").map((s) => s.data),
    insns: [sampleInsns(), ...sections.filter((s) => s.code && s.data.length > 0).map((s) => s.data)],
    structOpsTarget: parseBtf(structOpsKernelBtf()),
    split: [splitSample(target)],
    link: elf,
    target,
    users: elf.flatMap((bytes) => {
      const file = parseElf(bytes);
      const [types, ext] = [".BTF", ".BTF.ext"].map((name) => file.section(name)?.data);
      if (types === undefined || ext === undefined) return [];
      const btf = parseBtf(types);
      return [{ btf, ext: parseBtfExt(ext, btf) }];
    }),
  };
}

/** The sample's types once more over the sample, and some that refer to both. */
function splitSample(base: Btf): Uint8Array {
  const builder = new BtfBuilder(base);
  const delta = builder.nextId - base.startId;
  const mapId = (id: number): number => (id === 0 ? 0 : id + delta);
  for (let id = base.startId; id < base.typeCount; id++) builder.copy(base, id, mapId);
  for (let id = base.startId; id < base.typeCount; id++) builder.copy(base, id, (other) => other);
  return builder.toBytes();
}

function run(subject: Subject, input: Uint8Array, seeds: Seeds): void {
  if (subject === "elf") readObject(input, seeds.target, seeds.structOpsTarget);
  else if (subject === "insns") readInsns(input);
  else if (subject === "link") linkAll(input, seeds);
  else if (subject === "split") {
    const btf = parseBtf(input, { base: seeds.target });
    readTypes(btf);
    walkTypes(btf);
  } else {
    const btf = parseBtf(input);
    readTypes(btf);
    walkTypes(btf);
    attempt(() => parseBtf(input, { base: seeds.target }));
    attempt(() => parseBtfExt(input, btf));
    attempt(() => minCoreBtf(btf, seeds.users));
  }
}

export function fuzzParsers(options: {
  readonly count: number;
  readonly seed?: number;
  readonly only?: Subject;
  readonly onProgress?: (done: number, failures: number) => void;
}): FuzzReport {
  const seeds = collectSeeds();
  const failures: FuzzFailure[] = [];
  let slowestMs = 0;
  let accepted = 0;
  const first = options.seed ?? 1;
  for (let i = 0; i < options.count; i++) {
    const seed = first + i;
    const random = new Random(seed);
    const subject = options.only ?? SUBJECTS[seed % SUBJECTS.length]!;
    const own = random.pick(seeds[subject]);
    const input = mutate(random, own, random.pick(seeds[random.pick(SUBJECTS)]));
    const start = process.cpuUsage();
    try {
      run(subject, input, seeds);
      accepted++;
    } catch (error) {
      if (!(error instanceof TsbpfError))
        failures.push({
          seed,
          subject,
          what: error instanceof Error ? (error.stack ?? error.message) : String(error),
          input,
        });
    }
    const ms = process.cpuUsage(start).user / 1000;
    slowestMs = Math.max(slowestMs, ms);
    if (ms > LIMIT_MS) failures.push({ seed, subject, what: `took ${Math.round(ms)} ms`, input });
    if (i % 10_000 === 9_999) options.onProgress?.(i + 1, failures.length);
  }
  return { inputs: options.count, slowestMs, accepted, failures };
}

function main(): void {
  const { values } = parseArgs({
    options: {
      count: { type: "string", default: "20000" },
      seed: { type: "string", default: "1" },
      only: { type: "string" },
      save: { type: "string" },
    },
  });
  const only = SUBJECTS.find((s) => s === values.only);
  if (values.only !== undefined && only === undefined)
    throw new Error(`--only ${values.only}: want ${SUBJECTS.join("|")}`);
  const report = fuzzParsers({
    count: Number(values.count),
    seed: Number(values.seed),
    ...(only ? { only } : {}),
    onProgress: (done, failures) => console.error(`${done} inputs, ${failures} failures`),
  });
  for (const { seed, subject, what, input } of report.failures.slice(0, 20)) {
    console.log(`${subject} --seed ${seed}: ${what}`);
    if (values.save !== undefined) {
      mkdirSync(values.save, { recursive: true });
      writeFileSync(join(values.save, `${subject}-${seed}.bin`), input);
    }
  }
  console.log(`accepted ${report.accepted}, slowest ${report.slowestMs.toFixed(1)} ms`);
  console.log(`fuzz parsers: ${report.inputs} inputs, ${report.failures.length} failures`);
  process.exitCode = report.failures.length > 0 ? 1 : 0;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) main();

/**
 * Random programs on the interpreter, on the JIT in both modes and on this machine's kernel: registers and memory must
 * agree. The programs run in child processes under a watchdog; everything stops when the kernel log shows an oops.
 *
 *   npx tsx tools/fuzz-isa.ts [--count N] [--seed FIRST] [--jobs N] [--no-kernel] [--large] [--save DIR]
 *
 * A difference is reduced and written to DIR (tests/regress) as isa-SEED.json. Ends in
 * `fuzz isa: N programs, D differences`; exit status 1 when D > 0 or the kernel log has news.
 */
import { type ChildProcess, execFileSync, fork } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { encode } from "../src/asm/index.ts";
import { ENGINE_NAMES, EngineTarget, KernelTarget, type Target } from "./engines.ts";
import { compare, reduce, wellDefined } from "./fuzz-isa/compare.ts";
import { generate } from "./fuzz-isa/generate.ts";

/** Time for making a differing program small. */
const REDUCTION_MS = 20_000;

/** More differences than this end the run. */
const MAX_DIFFERENCES = 20;

/** A program that takes longer than this hangs. */
const WATCHDOG_MS = 60_000;

const REGRESS = fileURLToPath(new URL("../tests/regress", import.meta.url));

/** What a child says. */
type Message =
  | { readonly kind: "begin" | "same" | "rejected" | "pruned"; readonly seed: number; readonly text?: string }
  /** `different` comes after the reduction, `found` before. */
  | { readonly kind: "found" | "different"; readonly seed: number; readonly text: string }
  | { readonly kind: "end" };

interface Work {
  readonly first: number;
  readonly step: number;
  readonly end: number;
  readonly kernel: boolean;
  readonly large: boolean;
  readonly save: string;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

async function child(work: Work): Promise<void> {
  const say = (message: Message): void => {
    process.send!(message);
  };
  const targets: Target[] = ENGINE_NAMES.map((name) => new EngineTarget(name));
  if (work.kernel) targets.unshift(await KernelTarget.open());
  let done = 0;
  for (let seed = work.first; seed < work.end; seed += work.step) {
    say({ kind: "begin", seed });
    const { insns, memory } = generate(seed, work.large);
    const verdict = compare(targets, insns, memory);
    if (verdict.kind === "different") {
      say({ kind: "found", seed, text: verdict.text });
      const deadline = Date.now() + REDUCTION_MS;
      const small = reduce(insns, (tried) => {
        if (Date.now() > deadline) return false;
        say({ kind: "begin", seed });
        return compare(targets, tried, memory).kind === "different" && wellDefined(targets, tried, memory);
      });
      const again = compare(targets, small, memory);
      const expected = again.kind === "different" ? again.expected : undefined;
      const text = again.kind === "different" ? again.text : verdict.text;
      mkdirSync(work.save, { recursive: true });
      const row = {
        seed,
        found: text,
        insns: hex(encode(small)).match(/.{16}/g),
        memory: hex(memory),
        retval: expected?.retval,
        result: expected && hex(expected.memory),
      };
      writeFileSync(`${work.save}/isa-${seed}.json`, `${JSON.stringify(row, null, 1)}\n`);
      say({ kind: "different", seed, text: `${text}; ${small.length} instructions` });
    } else say({ kind: verdict.kind, seed, ...("text" in verdict ? { text: verdict.text } : {}) });
    // Lets the messages out.
    if (++done % 16 === 0) await new Promise((next) => setImmediate(next));
  }
  for (const target of targets) target.close();
  say({ kind: "end" });
  process.disconnect();
}

/**
 * Lines of the kernel log that tell of a kernel bug; undefined where the log cannot be read. Not counted: the verifier's
 * warning that it lost the bounds of a scalar, which random programs bring about and which does no harm.
 */
function oopses(): number | undefined {
  try {
    const text = execFileSync("dmesg", { encoding: "utf8", maxBuffer: 1 << 26 });
    const blocks = /-+\[ cut here \]-+[\s\S]*?end trace/g;
    const harmful = text.replace(blocks, (block) =>
      block.includes("REG INVARIANTS VIOLATION") ? "" : block,
    );
    return harmful
      .split("\n")
      .filter((line) => /\bBUG\b|Oops|general protection|WARNING:|Call Trace/.test(line)).length;
  } catch {
    return undefined;
  }
}

async function parent(): Promise<number> {
  const { values } = parseArgs({
    options: {
      count: { type: "string", default: "10000" },
      seed: { type: "string", default: "1" },
      jobs: { type: "string", default: "2" },
      save: { type: "string" },
      "no-kernel": { type: "boolean", default: false },
      large: { type: "boolean", default: false },
    },
  });
  const count = Number(values.count);
  const start = Number(values.seed);
  const jobs = Number(values.jobs);
  const kernel = !values["no-kernel"];
  const before = kernel ? oopses() : undefined;
  if (kernel && before === undefined) console.log("the kernel log cannot be read: no watch for oopses");

  let compared = 0;
  let rejected = 0;
  let pruned = 0;
  let differences = 0;
  let stopped = false;
  const children = new Set<ChildProcess>();
  const progress = (): void => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${compared}/${count}`);
  };

  /** Runs a stripe of seeds to its end, in as many children as it takes. */
  const stripe = async (index: number): Promise<void> => {
    for (let first = start + index; first < start + count && !stopped; ) {
      const work: Work = {
        first,
        step: jobs,
        end: start + count,
        kernel,
        large: values.large,
        save: values.save ?? REGRESS,
      };
      const process_ = fork(fileURLToPath(import.meta.url), ["--child", JSON.stringify(work)]);
      children.add(process_);
      let seed = first;
      let ended = false;
      let heard = Date.now();
      let why = "";
      let found = "";
      process_.on("message", (message: Message) => {
        heard = Date.now();
        if (message.kind === "end") ended = true;
        else if (message.kind === "begin") seed = message.seed;
        else if (message.kind === "found") found = `${message.text} (not reduced: `;
        else if (message.kind === "same") compared++;
        else if (message.kind === "rejected") {
          if (rejected++ < 3) console.log(`seed ${message.seed}: the kernel refuses: ${message.text}`);
        } else if (message.kind === "pruned") {
          compared++;
          pruned++;
          console.log(`seed ${message.seed}: the kernel's verifier removed code that runs: ${message.text}`);
        } else {
          found = "";
          compared++;
          differences++;
          console.log(`seed ${message.seed}: ${message.text}`);
        }
        if (compared % 100 === 0) progress();
      });
      const watchdog = setInterval(() => {
        if (Date.now() - heard < WATCHDOG_MS) return;
        why = `no answer in ${WATCHDOG_MS / 1000} s`;
        process_.kill("SIGKILL");
      }, 1000);
      const code = await new Promise<number | null>((done) => process_.on("exit", (c) => done(c)));
      clearInterval(watchdog);
      children.delete(process_);
      if (ended || stopped) return;
      differences++;
      compared++;
      const end = why || `the process ended with status ${code}`;
      console.log(`seed ${seed}: ${found === "" ? end : `${found}${end})`}`);
      first = seed + jobs;
    }
  };

  const stop = (why: string): void => {
    if (!stopped) console.log(`stopped: ${why}`);
    stopped = true;
    for (const running of children) running.kill("SIGKILL");
  };
  const watch = setInterval(() => {
    if (differences >= MAX_DIFFERENCES) stop(`${differences} differences`);
    const now = before === undefined ? undefined : oopses();
    if (now === undefined || now <= before!) return;
    stop("the kernel log shows a bug (see dmesg)");
  }, 2000);
  await Promise.all(Array.from({ length: jobs }, (_, i) => stripe(i)));
  clearInterval(watch);
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  if (rejected > 0) console.log(`${rejected} programs that the kernel refuses are not counted`);
  if (pruned > 0)
    console.log(`${pruned} programs lost code to the kernel's verifier (docs/parity) and agree without that`);
  console.log(`fuzz isa: ${compared} programs, ${differences} differences`);
  return differences > 0 || stopped ? 1 : 0;
}

const at = process.argv.indexOf("--child");
if (at >= 0) await child(JSON.parse(process.argv[at + 1]!) as Work);
else process.exitCode = await parent();

/**
 * Random programs before this machine's kernel and our verifier: verdict and errno must agree. The programs are loaded in
 * a child process under a watchdog; everything stops when the kernel log shows an oops.
 *
 *   npx tsx tools/fuzz-verifier.ts [--count N] [--seed FIRST] [--save DIR] [--show N] [--messages]
 *
 * A difference is reduced and written to DIR (tests/regress) as verifier-SEED.json. Ends in
 * `fuzz verifier: N programs, A % accepted, D differences, M messages`; exit status 1 when D > 0.
 */
import { execFileSync, fork } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BTF_KIND_FUNC, parseBtf } from "../src/btf/index.ts";
import { LinuxBackend } from "../src/linux/index.ts";
import { programOf } from "./fuzz-verifier/builder.ts";
import { useKfuncs } from "./fuzz-verifier/calls.ts";
import {
  compare,
  differ,
  isDangerous,
  type Judges,
  messageKey,
  onKernel,
  reduce,
  toRow,
} from "./fuzz-verifier/compare.ts";
import { generate } from "./fuzz-verifier/generate.ts";
import { makeWorld } from "./fuzz-verifier/world.ts";

const REGRESS = fileURLToPath(new URL("../tests/regress", import.meta.url));
const WATCHDOG_MS = 120_000;
const REDUCTION_MS = 15_000;

interface Work {
  readonly first: number;
  readonly end: number;
  readonly save: string;
  readonly reduce: boolean;
}

type Message =
  | { readonly kind: "begin"; readonly seed: number }
  | {
      readonly kind: "done";
      readonly seed: number;
      readonly accepted: boolean;
      /** Kernel's message; ours, where it differs. */
      readonly message: string;
      readonly ours: string;
      readonly processedDiffers: boolean;
    }
  | { readonly kind: "different"; readonly seed: number; readonly text: string }
  | { readonly kind: "end" };

/** A judge with everything open: this machine's kernel. */
export async function openJudges(): Promise<Judges> {
  const backend = await LinuxBackend.open();
  const kernelBtf = parseBtf(new Uint8Array(readFileSync("/sys/kernel/btf/vmlinux")));
  useKfuncs((name) => kernelBtf.findByName(name, BTF_KIND_FUNC) ?? 0);
  return { backend, kernelBtf, world: makeWorld(backend) };
}

async function child(work: Work): Promise<void> {
  const say = (message: Message): void => {
    process.send!(message);
  };
  const judges = await openJudges();
  for (let seed = work.first; seed < work.end; seed++) {
    say({ kind: "begin", seed });
    const shape = generate(seed);
    const program = programOf(shape);
    if (program === null || isDangerous(program)) continue;
    const { kernel, ours, difference: text } = compare(program, judges);
    if (text !== null) {
      const deadline = Date.now() + REDUCTION_MS;
      let small = program;
      let smallText = text;
      if (work.reduce) {
        const keep = reduce(shape, (tried) => Date.now() < deadline && differ(tried, judges) !== null);
        small = programOf(shape, keep)!;
        smallText = differ(small, judges) ?? text;
        mkdirSync(work.save, { recursive: true });
        const row = { seed, found: smallText, kernel: onKernel(small, judges), ...toRow(small) };
        writeFileSync(`${work.save}/verifier-${seed}.json`, `${JSON.stringify(row, null, 1)}\n`);
      }
      say({ kind: "different", seed, text: `${smallText}; ${small.insns.length} instructions` });
    } else {
      say({
        kind: "done",
        seed,
        accepted: kernel.ok,
        message: kernel.message,
        ours: kernel.message === ours!.message ? "" : ours!.message,
        processedDiffers: kernel.processed !== ours!.processed,
      });
    }
    if (seed % 16 === 0) await new Promise((next) => setImmediate(next));
  }
  say({ kind: "end" });
  process.disconnect();
}

/** Lines of the kernel log that tell of a kernel bug; the verifier's own warnings about lost bounds aside. */
function oopses(): number {
  try {
    const text = execFileSync("dmesg", { encoding: "utf8", maxBuffer: 1 << 26 });
    return text.split("\n").filter((line) => /\bBUG: |Oops|general protection/.test(line)).length;
  } catch {
    return 0;
  }
}

async function parent(): Promise<number> {
  const { values } = parseArgs({
    options: {
      count: { type: "string", default: "20000" },
      seed: { type: "string", default: "1" },
      save: { type: "string", default: REGRESS },
      show: { type: "string", default: "40" },
      messages: { type: "boolean", default: false },
      "no-reduce": { type: "boolean", default: false },
    },
  });
  const count = Number(values.count);
  const start = Number(values.seed);
  const before = oopses();
  const messages = new Map<string, number>();
  const wording = new Map<string, { n: number; seed: number; kernel: string; ours: string }>();
  let compared = 0;
  let accepted = 0;
  let differences = 0;
  let processed = 0;
  for (let first = start; first < start + count; ) {
    const work: Work = { first, end: start + count, save: values.save, reduce: !values["no-reduce"] };
    const process_ = fork(fileURLToPath(import.meta.url), ["--child", JSON.stringify(work)]);
    let seed = first;
    let ended = false;
    let heard = Date.now();
    process_.on("message", (message: Message) => {
      heard = Date.now();
      if (message.kind === "begin") seed = message.seed;
      else if (message.kind === "end") ended = true;
      else if (message.kind === "different") {
        compared++;
        differences++;
        if (differences <= Number(values.show)) console.log(`seed ${message.seed}: ${message.text}`);
      } else {
        compared++;
        if (message.accepted) accepted++;
        if (message.processedDiffers) processed++;
        if (message.message !== "") {
          const key = messageKey(message.message);
          messages.set(key, (messages.get(key) ?? 0) + 1);
        }
        if (message.ours !== "") {
          const key = messageKey(message.message);
          const known = wording.get(key);
          if (known) known.n++;
          else wording.set(key, { n: 1, seed: message.seed, kernel: message.message, ours: message.ours });
        }
      }
    });
    const watch = setInterval(() => {
      if (Date.now() - heard > WATCHDOG_MS || oopses() > before) process_.kill("SIGKILL");
    }, 2000);
    await new Promise((done) => process_.on("exit", done));
    clearInterval(watch);
    if (oopses() > before) {
      console.log(`stopped at seed ${seed}: the kernel log shows a bug (see dmesg)`);
      return 1;
    }
    if (ended) break;
    differences++;
    compared++;
    console.log(`seed ${seed}: the process died or hung`);
    first = seed + 1;
  }
  if (values.messages) {
    for (const [key, n] of [...messages].sort((a, b) => b[1] - a[1])) console.log(`${n} ${key}`);
  }
  for (const w of [...wording.values()].sort((a, b) => b.n - a.n).slice(0, 40))
    console.log(`wording (${w.n}, seed ${w.seed}): ${w.kernel} | ours: ${w.ours}`);
  console.log(`processed instructions differ in ${processed}`);
  const percent = compared === 0 ? 0 : Math.round((100 * accepted) / compared);
  console.log(
    `fuzz verifier: ${compared} programs, ${percent} % accepted, ${differences} differences, ${messages.size} messages`,
  );
  return differences > 0 ? 1 : 0;
}

const at = process.argv.indexOf("--child");
if (at >= 0) await child(JSON.parse(process.argv[at + 1]!) as Work);
else process.exitCode = await parent();

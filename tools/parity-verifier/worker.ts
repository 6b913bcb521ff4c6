/** Verifies the cases that its parent sends, one at a time. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Btf, parseBtf } from "../../src/btf/index.ts";
import { verifierInput } from "../../src/check/index.ts";
import { BpfObject } from "../../src/loader/index.ts";
import { findProfile, verify } from "../../src/verifier/index.ts";
import { kernelConfig } from "../../tests/support/recorded.ts";
import { type Case, missingMessage } from "./cases.ts";

export interface Answer {
  /** undefined: it did not get as far as the verifier, or the verifier broke; see `error`. */
  readonly accepted?: boolean;
  readonly errno: number;
  readonly message: string;
  readonly processed: number;
  readonly totalStates: number;
  readonly ms: number;
  readonly insn: number;
  /** The first message that the log lacks. */
  readonly missing?: string;
  readonly error?: string;
  readonly log?: string;
}

export interface Job {
  readonly case: Case;
  readonly wantLog: boolean;
  /** Overrides the log level. */
  readonly level?: number;
}

const [dir, btf612, btf618] = process.argv.slice(2) as [string, string, string];
const paths: Record<string, string> = { "6.12": btf612, "6.18": btf618 };
const btfs = new Map<string, Btf>();
let last: { name: string; object: BpfObject } | undefined;
/** Tests that name a BTF file of their own to relocate against. */
const CUSTOM_BTF: Readonly<Record<string, string>> = {
  "verifier_bitfield_write.bpf.o": "btf__core_reloc_bitfields.bpf.o",
};

function kernelBtf(version: string): Btf {
  let btf = btfs.get(version);
  if (!btf) btfs.set(version, (btf = parseBtf(new Uint8Array(readFileSync(paths[version]!)))));
  return btf;
}

const configTexts = new Map<string, string>();
function configs(version: "6.12" | "6.18"): string {
  let text = configTexts.get(version);
  if (text === undefined) configTexts.set(version, (text = kernelConfig(version) ?? ""));
  return text;
}

function coreBtf(obj: string): Btf | undefined {
  const path = join(dir, CUSTOM_BTF[obj] ?? "\0");
  return CUSTOM_BTF[obj] && existsSync(path)
    ? BpfObject.open(new Uint8Array(readFileSync(path))).btf
    : undefined;
}

function answer(job: Job): Answer {
  const c = job.case;
  const version = c.mode === "6.18" ? "6.18" : "6.12";
  const none = { errno: 0, message: "", processed: 0, totalStates: 0, ms: 0, insn: -1 };
  let input: ReturnType<typeof verifierInput>;
  const btf = kernelBtf(version);
  try {
    if (last?.name !== c.obj)
      last = {
        name: c.obj,
        object: BpfObject.open(new Uint8Array(readFileSync(join(dir, c.obj))), {
          name: c.obj.replace(/\..*/, ""),
        }),
      };
    const { object } = last;
    const core = coreBtf(c.obj);
    input = verifierInput(object, object.programs[c.prog]!, {
      targetBtf: btf,
      kconfig: configs(version),
      ...(core ? { coreBtf: core } : {}),
      ...(c.progType !== undefined ? { progType: c.progType } : {}),
      ...(c.expectedAttachType !== undefined ? { expectedAttachType: c.expectedAttachType } : {}),
      progFlags: c.progFlags | object.programs[c.prog]!.flags,
      caps: c.caps,
    });
  } catch (e) {
    return { ...none, error: `link: ${e instanceof Error ? e.message : String(e)}` };
  }
  const start = performance.now();
  try {
    const want = job.wantLog || c.msgs.length > 0;
    const r = verify(input, findProfile(version)!, btf, { logLevel: job.level ?? (want ? c.logLevel : 1) });
    const missing = c.msgs.length > 0 ? missingMessage(r.log, c.msgs) : undefined;
    return {
      accepted: r.ok,
      errno: r.errno,
      message: r.message,
      processed: r.stats.processed,
      totalStates: r.stats.totalStates,
      insn: r.insn,
      ms: performance.now() - start,
      ...(missing !== undefined ? { missing } : {}),
      ...(job.wantLog ? { log: r.log } : {}),
    };
  } catch (e) {
    const at =
      e instanceof Error
        ? (e.stack ?? "")
            .split("\n")
            .slice(1, 4)
            .map((l) => /\(?([^/\s(]+:\d+):\d+\)?$/.exec(l)?.[1])
            .join(" < ")
        : "";
    return {
      ...none,
      ms: performance.now() - start,
      error: `${e instanceof Error ? `${e.name}: ${e.message}` : String(e)} [${at}]`,
    };
  }
}

process.on("message", (job: Job) => process.send!(answer(job)));
process.send!("ready");

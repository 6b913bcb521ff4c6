/**
 * What a selftest says of itself: declaration tags that bpf_misc.h's macros leave on its functions, read as the selftests'
 * own runner (test_loader.c) reads them.
 */
import { BTF_KIND_DECL_TAG, BTF_KIND_FUNC, type Btf } from "../src/btf/index.ts";
import * as uapi from "../src/uapi/index.ts";

export interface Expectation {
  /** Bit 0: privileged, bit 1: unprivileged. */
  mode: number;
  priv: "success" | "failure" | null;
  unpriv: "success" | "failure" | null;
  /** The verdict stands in the source, and is not the runner's default. */
  explicit: boolean;
  retval?: number;
  msgs?: string[];
  msgs_unpriv?: string[];
  flags?: string[];
  log_level?: number;
  desc?: string;
  auxiliary?: boolean;
}

const PREFIX = "comment:";

/** Function name -> its tags, in the order of the source. */
function tagsByFunction(btf: Btf): Map<string, string[]> {
  const tags = new Map<string, string[]>();
  for (let id = btf.startId; id < btf.typeCount; id++) {
    const type = btf.type(id);
    if (type.kind !== BTF_KIND_DECL_TAG || type.componentIndex !== -1) continue;
    const target = btf.type(type.type);
    if (target.kind !== BTF_KIND_FUNC || !type.name.startsWith(PREFIX)) continue;
    const list = tags.get(target.name) ?? [];
    list.push(type.name.slice(PREFIX.length));
    tags.set(target.name, list);
  }
  return tags;
}

const MESSAGE = /^test_expect_(msg|regex)(_unpriv)?=(?:(\d+)=)?(.*)$/s;

/** `N`, `0xN`, `-N`, or a value that the runner knows by name. */
function retvalOf(text: string): number | undefined {
  if (text === "POINTER_VALUE") return 0xbadcafe;
  if (text === "TEST_DATA_LEN") return 64;
  const value = Number(text.replace(/u?l*$/i, ""));
  return Number.isNaN(value) ? undefined : value;
}

function read(tags: readonly string[]): Expectation | undefined {
  const e: Expectation = { mode: 0, priv: null, unpriv: null, explicit: false };
  const msgs: [order: number, text: string][] = [];
  const unpriv: [order: number, text: string][] = [];
  for (const tag of tags) {
    const [name, value = ""] = [tag.split("=", 1)[0]!, tag.slice(tag.indexOf("=") + 1)];
    const message = MESSAGE.exec(tag);
    if (message) (message[2] ? unpriv : msgs).push([Number(message[3] ?? 0), message[4]!]);
    else if (name === "test_expect_success") [e.priv, e.explicit, e.mode] = ["success", true, e.mode | 1];
    else if (name === "test_expect_failure") [e.priv, e.explicit, e.mode] = ["failure", true, e.mode | 1];
    else if (name === "test_expect_success_unpriv") [e.unpriv, e.mode] = ["success", e.mode | 2];
    else if (name === "test_expect_failure_unpriv") [e.unpriv, e.mode] = ["failure", e.mode | 2];
    else if (name === "test_retval") {
      const retval = retvalOf(value);
      if (retval !== undefined) e.retval = retval;
    } else if (name === "test_log_level") e.log_level = Number(value);
    else if (name === "test_prog_flags") e.flags = [...(e.flags ?? []), value];
    else if (name === "test_description") e.desc = value;
    else if (name === "test_auxiliary") e.auxiliary = true;
  }
  if (tags.every((tag) => !tag.startsWith("test_"))) return undefined;
  const ordered = (list: [number, string][]): string[] =>
    list.sort(([a], [b]) => a - b).map(([, text]) => text);
  if (msgs.length > 0) e.msgs = ordered(msgs);
  if (unpriv.length > 0) e.msgs_unpriv = ordered(unpriv);
  // Without a word, a program is to load with all rights.
  if (e.mode === 0) e.mode = 1;
  if (e.mode & 1) e.priv ??= "success";
  if (e.mode & 2) {
    e.unpriv ??= e.priv;
    if (e.msgs_unpriv === undefined && e.msgs !== undefined) e.msgs_unpriv = e.msgs;
  }
  return e;
}

export function readAnnotations(btf: Btf | undefined): Map<string, Expectation> {
  const out = new Map<string, Expectation>();
  if (btf === undefined) return out;
  for (const [name, tags] of tagsByFunction(btf)) {
    const expectation = read(tags);
    if (expectation !== undefined) out.set(name, expectation);
  }
  return out;
}

/** What the runner adds to every program: subregister scrambling and checks of the verifier's own invariants. */
export const RUNNER_FLAGS: number = uapi.BPF_F_TEST_RND_HI32 | uapi.BPF_F_TEST_REG_INVARIANTS;

const FLAGS: Readonly<Record<string, number>> = {
  BPF_F_STRICT_ALIGNMENT: uapi.BPF_F_STRICT_ALIGNMENT,
  BPF_F_ANY_ALIGNMENT: uapi.BPF_F_ANY_ALIGNMENT,
  BPF_F_TEST_RND_HI32: uapi.BPF_F_TEST_RND_HI32,
  BPF_F_TEST_STATE_FREQ: uapi.BPF_F_TEST_STATE_FREQ,
  BPF_F_SLEEPABLE: uapi.BPF_F_SLEEPABLE,
  BPF_F_XDP_HAS_FRAGS: uapi.BPF_F_XDP_HAS_FRAGS,
  BPF_F_TEST_REG_INVARIANTS: uapi.BPF_F_TEST_REG_INVARIANTS,
};

/** `!FLAG` takes a flag away; a number stands for itself. */
export function progFlags(expectation: Expectation | undefined, section: number): number {
  let flags = section | RUNNER_FLAGS;
  for (const word of expectation?.flags ?? []) {
    const off = word.startsWith("!");
    const name = off ? word.slice(1) : word;
    const bit = FLAGS[name] ?? Number(name);
    if (!Number.isNaN(bit)) flags = off ? flags & ~bit : flags | bit;
  }
  return flags;
}

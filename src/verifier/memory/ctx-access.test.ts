import { describe, expect, it } from "vitest";
import { decodeSlots } from "../../asm/index.ts";
import { CTX_ACCESS } from "../../uapi/index.ts";
import { Env, Rejection } from "../env.ts";
import { newLog } from "../log/log.ts";
import { findProfile } from "../profiles.ts";
import { SCALAR_VALUE } from "../state/reg-type.ts";
import { checkCtxAccess } from "./ctx-access.ts";

const profile = findProfile("6.18")!;

function envOf(progType: number, expectedAttachType: number): Env {
  const input = {
    insns: new Uint8Array(8),
    maps: [],
    progType,
    expectedAttachType,
    progFlags: 0,
    license: "GPL",
    name: "",
    btf: null,
    funcInfo: [],
    lineInfo: [],
    attach: null,
  };
  const env = new Env(input, {}, profile, null, newLog(0), decodeSlots(input.insns), []);
  env.progType = env.resolvedProgType = progType;
  env.expectedAttachType = expectedAttachType;
  return env;
}

/** The type that the access gives, or null. */
function access(env: Env, off: number, size: number, write: boolean): number | null {
  try {
    return checkCtxAccess(env, 0, off, size, write, false).regType;
  } catch (e) {
    if (e instanceof Rejection) return null;
    throw e;
  }
}

/** Beyond the longest context of a table; two contexts are longer than what was asked. */
const END = 232;
const ASKED: Readonly<Record<string, number>> = { "5/0": 72, "31/0": 72 };
/** LIRC programs: the kernel in question has none. NETFILTER's context holds BTF pointers: it wants a kernel's BTF. */
const SKIP: ReadonlySet<string> = new Set(["20/0", "32/45"]);

describe("context accesses are those that Linux 6.18 was asked for one by one", () => {
  it.each(CTX_ACCESS.flatMap((row) => row.programs).filter((key) => !SKIP.has(key)))(
    "program and attach type %s",
    (key) => {
      const [progType, attachType] = key.split("/").map(Number) as [number, number];
      const env = envOf(progType, attachType);
      const differ: string[] = [];
      let legal = 0;
      for (const write of [false, true])
        for (const size of [1, 2, 4, 8])
          for (let off = 0; off < (ASKED[key] ?? END); off++) {
            const want = profile.ctxAccess(progType, attachType, off, size, write);
            const got = access(env, off, size, write);
            if (got !== null) legal++;
            if (want === undefined) continue;
            const type = want === null ? null : write ? SCALAR_VALUE : want.regType;
            const mine = got !== null && write ? SCALAR_VALUE : got;
            if (mine !== type)
              differ.push(`${write ? "write" : "read"} ${size} at ${off}: ${mine}, want ${type}`);
          }
      expect(differ).toEqual([]);
      expect(legal).toBeGreaterThan(0);
    },
  );
});

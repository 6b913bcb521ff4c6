import { readFileSync } from "node:fs";
import { release } from "node:os";
import { describe, expect, test } from "vitest";
import { parseBtf } from "../../src/btf/index.ts";
import { checkProgram } from "../../src/check/index.ts";
import { VerifierRejection } from "../../src/diag/index.ts";
import { LinuxBackend } from "../../src/linux/index.ts";
import { BpfObject } from "../../src/loader/index.ts";
import { compileC } from "../support/compile.ts";
import { want } from "../support/need.ts";
import { DECLARATIONS, PROGRAMS } from "./kfunc-programs.ts";

const w = want("clang-19", "bpf");
/** The messages are 6.18's, and so is the profile that stands for this kernel. */
const is618 = release().startsWith("6.18.");

/** The last line that says something of the program. */
function lastLine(log: string): string {
  const lines = log.trimEnd().split("\n");
  return lines.filter((l) => !/^(processed|verification time|stack depth) /.test(l)).at(-1) ?? "";
}

describe.skipIf(w.skip || !is618)(w.title("kfuncs newer than the selftests, on Linux 6.18"), () => {
  const source = PROGRAMS.map((p) => `SEC("${p.section}") ${p.code}`).join("\n");
  const bytes = w.skip ? new Uint8Array() : compileC(DECLARATIONS + source);
  const kernelBtf = w.skip ? null : parseBtf(new Uint8Array(readFileSync("/sys/kernel/btf/vmlinux")));
  const backend = w.skip ? null : LinuxBackend.open();

  test.each(PROGRAMS)("$name: $message", async ({ name, message }) => {
    const object = BpfObject.open(bytes);
    const checked = checkProgram(object, object.programs[name]!, {
      kernel: "6.18",
      kernelBtf: kernelBtf!,
      logLevel: 1,
    });
    expect(checked.error).toBeUndefined();
    expect(checked.verdict?.message).toBe(message);

    for (const program of object.programList) program.autoload = program.name === name;
    let linux = "";
    try {
      object.load((await backend)!, { targetBtf: kernelBtf! }).close();
    } catch (error) {
      if (!(error instanceof VerifierRejection)) throw error;
      linux = lastLine(error.log);
    }
    expect(linux).toBe(message);
  });
});

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { assemble, disassemble } from "../../src/asm/index.ts";
import { SHARED, want } from "../support/need.ts";

const w = want("shared");

describe.skipIf(w.skip)(w.title("conformance vectors"), () => {
  it("assemble, and come back through both dialects", () => {
    const dir = join(SHARED, "conformance");
    const files = readdirSync(dir).filter((f) => f.endsWith(".data"));
    expect(files).toHaveLength(313);
    for (const file of files) {
      const text = readFileSync(join(dir, file), "utf8");
      const part = (name: string): string =>
        new RegExp(`^-- ${name}\n([^]*?)(?=^-- |$(?![^]))`, "m").exec(text)?.[1] ?? "";
      const { bytes } = assemble(part("asm"), { dialect: "mnemonic" });
      expect(bytes.length, file).toBeGreaterThan(0);
      for (const dialect of ["llvm", "kernel"] as const) {
        const again = disassemble(bytes, { dialect });
        expect(again, file).not.toContain(".8byte");
        expect(assemble(again, { dialect }).bytes, file).toEqual(bytes);
      }
      const raw = part("raw").trim();
      if (raw !== "") expect(bytes, file).toEqual(assemble(raw.replace(/^(?=0x)/gm, ".8byte ")).bytes);
    }
  });
});

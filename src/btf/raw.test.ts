import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { want } from "../../tests/support/need.ts";
import { parseElf } from "../elf/index.ts";
import { type Btf, btfRawRow, btfRawText, parseBtf } from "./index.ts";

const firewall = fileURLToPath(new URL("../../examples/firewall/firewall.bpf.o", import.meta.url));
const VMLINUX = "/sys/kernel/btf/vmlinux";

const ofObject = (path: string): Btf =>
  parseBtf(parseElf(new Uint8Array(readFileSync(path))).sections.find(({ name }) => name === ".BTF")!.data);
const text = (btf: Btf): string =>
  Array.from({ length: btf.typeCount - btf.startId }, (_, i) => `${btfRawText(btf, btf.startId + i)}\n`).join(
    "",
  );
const rows = (btf: Btf): unknown[] =>
  Array.from({ length: btf.typeCount - btf.startId }, (_, i) => btfRawRow(btf, btf.startId + i));

describe("raw types", () => {
  it("shows members under their type", () => {
    const btf = ofObject(firewall);
    expect(btfRawText(btf, btf.findByName("counter")!)).toMatch(
      /^\[\d+\] STRUCT 'counter' size=16 vlen=2\n\t'packets' type_id=\d+ bits_offset=0\n\t'bytes' type_id=\d+ bits_offset=64$/,
    );
    expect(btfRawText(btf, btf.findByName("counters")!)).toMatch(
      /VAR 'counters' type_id=\d+, linkage=global$/,
    );
  });
});

const bpftool = want("bpftool", "bpf");
describe.skipIf(bpftool.skip)(bpftool.title("bpftool btf dump"), () => {
  const dump = (...args: string[]): string =>
    execFileSync("bpftool", ["btf", "dump", "file", ...args], { encoding: "utf8", maxBuffer: 1 << 29 });
  it("the firewall: same text, same JSON", () => {
    expect(text(ofObject(firewall))).toBe(dump(firewall));
    expect(rows(ofObject(firewall))).toEqual(
      (JSON.parse(dump(firewall, "-j")) as { types: unknown[] }).types,
    );
  });
  it("the running kernel: same text", () => {
    expect(text(parseBtf(new Uint8Array(readFileSync(VMLINUX)))) === dump(VMLINUX)).toBe(true);
  });
});

/** The commands that only look: exit statuses, messages, JSON, pipes. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { tsbpf } from "./tsbpf.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const firewall = "examples/firewall/firewall.bpf.o";
const dir = mkdtempSync(join(tmpdir(), "tsbpf-cli-"));
afterAll(() => rmSync(dir, { recursive: true }));
const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
};
const run = (args: readonly string[], input?: string | Uint8Array) =>
  tsbpf(args, { cwd: root, ...(input === undefined ? {} : { input }) });
const IP = "4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n";

describe("tsbpf", { concurrent: false }, () => {
  it.each<[string, string[], number, RegExp, RegExp]>([
    ["no command", [], 2, /^$/, /Usage: tsbpf/],
    ["help", ["--help"], 0, /Usage: tsbpf/, /^$/],
    ["version", ["--version"], 0, /^\d+\.\d+\.\d+\n$/, /^$/],
    ["unknown command", ["frobnicate"], 2, /^$/, /^tsbpf: unknown command 'frobnicate'/],
    ["unknown flag", ["filter", "--nope"], 2, /^$/, /^tsbpf: unknown option '--nope'/],
    ["missing argument", ["prog", "show"], 2, /^$/, /^tsbpf: missing required argument 'obj'/],
    ["too many arguments", ["btf", "dump", "a", "b"], 2, /^$/, /unknown words after a: b/],
    [
      "missing file",
      ["prog", "show", "nope.o"],
      1,
      /^$/,
      /^tsbpf: cannot read nope.o: no such file or directory\n$/,
    ],
    ["directory", ["prog", "show", "."], 1, /^$/, /^tsbpf: cannot read \.: it is a directory\n$/],
    ["not an object", ["prog", "show", "package.json"], 1, /^$/, /^tsbpf: package.json: .*ELF.*\n$/],
    ["not BTF", ["btf", "dump", "package.json"], 1, /^$/, /^tsbpf: package.json: not BTF: .*\n$/],
    [
      "nothing to do",
      ["filter"],
      2,
      /^$/,
      /^tsbpf: nothing to do: give --pcap FILE to run the filter, or --dump to print it\n$/,
    ],
  ])("%s", async (_, args, status, stdout, stderr) => {
    const got = await run(args);
    expect(got.stderr).toMatch(stderr);
    expect(got.stdout).toMatch(stdout);
    expect(got.status).toBe(status);
  });

  it("prog show", async () => {
    const { status, stdout } = await run(["prog", "show", firewall]);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^0: xdp {2}name firewall {2}section xdp {2}attach_type xdp {2}license Dual MIT\/GPL\n\txlated \d+B {2}insns \d+/,
    );
    const json = JSON.parse((await run(["prog", "show", firewall, "--json"])).stdout) as {
      programs: object[];
    };
    expect(json.programs).toMatchObject([
      { name: "firewall", type: "xdp", attach_type: "xdp", autoload: true },
    ]);
  });

  it("btf dump, also from a pipe whose reader goes away", async () => {
    const { status, stdout } = await run(["btf", "dump", firewall]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\[1\] PTR '\(anon\)' type_id=3\n\[2\] INT 'int' size=4/);
    const json = JSON.parse((await run(["btf", "dump", "-j", firewall])).stdout) as { types: object[] };
    expect(json.types[1]).toEqual({
      id: 2,
      kind: "INT",
      name: "int",
      size: 4,
      bits_offset: 0,
      nr_bits: 32,
      encoding: "SIGNED",
    });
    const cut = await tsbpf(["btf", "dump", firewall], { cwd: root, closeAfter: 1 });
    expect(cut.stderr).toBe("");
    expect(cut.signal).toBeNull();
  });

  it("asm and disasm are each other's inverse, also through pipes", async () => {
    const text = "r0 = 0x1\nif r1 == 0x0 goto +0x0\nr2 = 0x7b ll\nexit\n";
    const hex = await run(["asm", "-"], text);
    expect(hex.stdout).toBe(
      "b700000001000000\n1501000000000000\n180200007b000000\n0000000000000000\n9500000000000000\n",
    );
    expect((await run(["disasm", "-"], hex.stdout)).stdout).toBe(text);
    const out = join(dir, "out.bin");
    expect(await run(["asm", file("in.s", text), "-o", out])).toMatchObject({ status: 0, stdout: "" });
    const kernel = await run(["disasm", "--dialect", "kernel", out]);
    expect(kernel.stdout).toBe("(b7) r0 = 1\n(15) if r1 == 0x0 goto pc+0\n(18) r2 = 0x7b\n(95) exit\n");
    expect((await run(["asm", "--dialect", "kernel", "-"], kernel.stdout)).stdout).toBe(hex.stdout);
    const json = JSON.parse((await run(["disasm", "--json", out])).stdout) as { insns: object[] };
    expect(json.insns[2]).toEqual({
      slot: 2,
      bytes: "180200007b0000000000000000000000",
      text: "r2 = 0x7b ll",
    });
    expect(await run(["asm", "-"], "r0 = 1\nr77 = 2\n")).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringMatching(/^tsbpf: standard input: line 2: .*\n$/),
    });
    expect(await run(["disasm", "-"], Uint8Array.of(0xb7, 0, 0, 0, 1))).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^tsbpf: standard input: .*8.*\n$/),
    });
    expect(await run(["asm", "--dialect", "klingon", "-"])).toMatchObject({ status: 2, stdout: "" });
  });

  it("disasm of an object, prog dump", async () => {
    expect((await run(["disasm", firewall])).stdout).toMatch(
      /^\nexamples\/firewall\/firewall.bpf.o:\tfile format elf64-bpf\n\nDisassembly of section .text:\n/,
    );
    const { status, stdout } = await run(["prog", "dump", firewall, "--prog", "firewall"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^firewall:\n {3}0: w7 = \*\(u32 \*\)\(r1 \+ 0x4\)\n/);
    expect(stdout).toMatch(/\n\s*\d+: r1 = blocked_v4 ll\n/);
    expect(stdout).toMatch(/\n\nport_blocked:\n/);
    expect(await run(["prog", "dump", firewall, "--prog", "nope"])).toMatchObject({
      status: 2,
      stderr: `tsbpf: ${firewall} holds no program "nope"; it holds: firewall\n`,
    });
  });

  it("filter --dump", async () => {
    const { status, stdout } = await run(["filter", "--dump"], IP);
    expect(status).toBe(0);
    expect(stdout).toBe(
      "(000) ldh      [12]\n(001) jeq      #0x800           jt 2\tjf 3\n(002) ret      #262144\n(003) ret      #0\n",
    );
    const json = JSON.parse(
      (await run(["filter", "--dump", "--json", "--file", file("ip.ddd", IP)])).stdout,
    ) as {
      insns: object[];
    };
    expect(json.insns[0]).toEqual({ code: 40, jt: 0, jf: 0, k: 12 });
    const big = Uint8Array.of(0, 0x28, 0, 0, 0, 0, 0, 12, 0, 6, 0, 0, 0, 0, 0, 1);
    expect((await run(["filter", "--dump", "--big-endian"], big)).stdout).toBe(
      "(000) ldh      [12]\n(001) ret      #1\n",
    );
    expect(await run(["filter", "--dump"], "1\n0 0 0 0\n")).toMatchObject({
      status: 1,
      stderr: "tsbpf: insn 0: the last instruction must be ret\n",
    });
    expect(await run(["filter"], IP)).toMatchObject({ status: 2, stdout: "" });
  });
});

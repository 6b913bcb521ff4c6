/**
 * The instruction vectors of the bpf_conformance project: `NAME.data` files of sections.
 *
 *   -- asm      mnemonic assembly            -- raw      its slots, or what stands for it: a 64-bit number a line
 *   -- mem      hex bytes: r1 = their address, r2 = their count
 *   -- result   r0 at exit                   -- error    or why the program must be refused
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { assemble } from "../src/asm/index.ts";

export interface Vector {
  readonly name: string;
  readonly insns: Uint8Array;
  readonly mem: Uint8Array;
  /** undefined: an engine must refuse the program. */
  readonly result: bigint | undefined;
}

function sections(text: string): Map<string, string> {
  const found = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of text.split("\n")) {
    const head = /^-- (\w[\w ]*)$/.exec(line.trim());
    if (head) found.set(head[1]!, (current = []));
    else current.push(line);
  }
  return new Map([...found].map(([name, lines]) => [name, lines.join("\n")]));
}

function rawSlots(text: string): Uint8Array {
  const numbers = text
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
  return new Uint8Array(BigUint64Array.from(numbers.map(BigInt)).buffer);
}

export function parseVector(name: string, text: string): Vector {
  const found = sections(text);
  const asm = found.get("asm");
  const raw = found.get("raw");
  if (asm === undefined && raw === undefined) throw new Error(`${name}: neither asm nor raw`);
  const result = found.get("result");
  if (result === undefined && !found.has("error")) throw new Error(`${name}: neither result nor error`);
  const insns = asm !== undefined ? assemble(asm, { dialect: "mnemonic" }).bytes : rawSlots(raw!);
  if (raw !== undefined && !rawSlots(raw).every((byte, i) => byte === insns[i]))
    throw new Error(`${name}: asm does not give the bytes of raw`);
  const hex = (found.get("mem") ?? "").replace(/#.*/g, "").replace(/\s+/g, "");
  return {
    name,
    insns,
    mem: Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)),
    result: result === undefined ? undefined : BigInt.asUintN(64, BigInt(result.trim())),
  };
}

/** Every vector of a folder, by name. */
export function readVectors(dir: string): Vector[] {
  return readdirSync(dir)
    .filter((file) => file.endsWith(".data"))
    .sort()
    .map((file) => parseVector(file.slice(0, -".data".length), readFileSync(join(dir, file), "utf8")));
}

/** Values of `__kconfig` externs (bpf_object__resolve_externs of tools/lib/bpf/libbpf.c). */
import { LoadError } from "../diag/index.ts";
import type { ExternSpec } from "./spec.ts";

export interface KconfigOptions {
  /** Text of a kernel's build configuration (`CONFIG_X=y` lines). */
  readonly kconfig?: string;
  /** KERNEL_VERSION(a, b, c): a << 16 | b << 8 | c. */
  readonly kernelVersion?: number;
}

/** Linux 6.18.0, the reference kernel. */
export const DEFAULT_KERNEL_VERSION: number = (6 << 16) | (18 << 8);

/** Writes every value into `map`, the `.kconfig` map's contents; a strong extern without one is a LoadError. */
export function fillKconfig(map: Uint8Array, externs: readonly ExternSpec[], options: KconfigOptions): void {
  const wanted = externs.filter((e) => e.kind === "kconfig");
  const lines = wanted.some((e) => e.name.startsWith("CONFIG_"))
    ? configLines(options.kconfig ?? "")
    : new Map();
  for (const extern of wanted) {
    const place = map.subarray(extern.offset, extern.offset + extern.size);
    if (extern.name.startsWith("CONFIG_")) {
      const value = lines.get(extern.name);
      if (value !== undefined) setText(extern, place, value);
      else if (!extern.weak)
        throw new LoadError(
          `extern '${extern.name}' (strong): not resolved${options.kconfig === undefined ? ": no kernel configuration given" : ""}`,
        );
    } else setNumber(extern, place, virtualValue(extern, options));
  }
}

function virtualValue(extern: ExternSpec, options: KconfigOptions): bigint {
  switch (extern.name) {
    case "LINUX_KERNEL_VERSION":
      return BigInt(options.kernelVersion ?? DEFAULT_KERNEL_VERSION);
    case "LINUX_HAS_BPF_COOKIE":
    case "LINUX_HAS_SYSCALL_WRAPPER":
      return 1n;
    default:
      if (extern.name.startsWith("LINUX_") && extern.weak) return 0n;
      throw new LoadError(`extern (kcfg) '${extern.name}': unrecognized virtual extern`);
  }
}

function configLines(text: string): Map<string, string> {
  const out = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^(CONFIG_\w+)=(.+?)\r?$/.exec(line);
    if (match !== null && !out.has(match[1]!)) out.set(match[1]!, match[2]!);
  }
  return out;
}

function setText(extern: ExternSpec, place: Uint8Array, value: string): void {
  const fail = (what: string): LoadError =>
    new LoadError(`extern (kcfg) '${extern.name}': value '${value}' ${what}`);
  const first = value[0]!;
  if (first === "y" || first === "n" || first === "m") {
    if (extern.valueKind === "bool") {
      if (first === "m") throw fail("implies tristate or char type");
      place[0] = first === "y" ? 1 : 0;
    } else if (extern.valueKind === "tristate") place[0] = first === "y" ? 1 : first === "m" ? 2 : 0;
    else if (extern.valueKind === "char") place[0] = first.charCodeAt(0);
    else throw fail("implies bool, tristate, or char type");
  } else if (first === '"') {
    if (extern.valueKind !== "string") throw fail("implies char array type");
    if (value.length < 2 || !value.endsWith('"')) throw fail("is an invalid string");
    const text = new TextEncoder().encode(value.slice(1, -1));
    place.fill(0);
    place.set(text.subarray(0, place.length - 1));
  } else {
    if (!/^(0x[0-9a-f]+|-?\d+)$/i.test(value)) throw fail("isn't a valid integer");
    if (extern.valueKind !== "int" && extern.valueKind !== "char") throw fail("implies integer type");
    setNumber(extern, place, BigInt(value));
  }
}

function setNumber(extern: ExternSpec, place: Uint8Array, value: bigint): void {
  const fail = (what: string): LoadError =>
    new LoadError(`extern (kcfg) '${extern.name}': value ${value} ${what}`);
  if (!["int", "char", "bool"].includes(extern.valueKind))
    throw fail("implies integer, char, or boolean type");
  if (extern.valueKind === "bool" && value > 1n) throw fail("isn't boolean compatible");
  const bits = extern.size * 8;
  const fits = extern.signed ? BigInt.asIntN(bits, value) === value : BigInt.asUintN(bits, value) === value;
  if (!fits && bits < 64) throw fail(`doesn't fit in ${extern.size} bytes`);
  for (let i = 0, v = BigInt.asUintN(64, value); i < extern.size; i++, v >>= 8n) place[i] = Number(v & 0xffn);
}

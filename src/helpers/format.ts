// The format strings of bpf_trace_printk, bpf_snprintf and friends: what bpf_bprintf_prepare() admits
// (kernel/bpf/helpers.c), printed as lib/vsprintf.c prints it.
import { EINVAL } from "../uapi/index.ts";

export interface FormatMemory {
  /** `size` bytes at a pointer, or undefined where the program's kernel cannot read. */
  bytes(pointer: bigint, size: number): Uint8Array | undefined;
  /** A zero-terminated string of kernel or user memory, or undefined. */
  text(pointer: bigint, limit: number, user: boolean): Uint8Array | undefined;
}

interface Spec {
  readonly left: boolean;
  readonly plus: boolean;
  readonly space: boolean;
  readonly zero: boolean;
  readonly width: number;
}

/** MAX_BPRINTF_BIN_ARGS: strings that are copied aside share so many bytes. */
const MAX_STRING = 512;

const isSpace = (c: number): boolean => c === 32 || (c >= 9 && c <= 13);
const isPrint = (c: number): boolean => c >= 32 && c < 127;
const isPunct = (c: number): boolean => isPrint(c) && c !== 32 && !/[0-9A-Za-z]/.test(String.fromCharCode(c));
/** What may follow a %p or %s. */
const ends = (c: number | undefined): boolean => c === undefined || isSpace(c) || isPunct(c);

function pad(body: number[], spec: Spec, fill = 32): number[] {
  const missing = Math.min(Math.max(spec.width - body.length, 0), 0x7fff);
  const padding = new Array<number>(missing).fill(fill);
  return spec.left ? [...body, ...padding] : [...padding, ...body];
}

const ascii = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));

function number(value: bigint, spec: Spec, signed: boolean): string {
  const negative = signed && value < 0n;
  const digits = (negative ? -value : value).toString();
  const sign = negative ? "-" : signed && spec.plus ? "+" : signed && spec.space ? " " : "";
  if (spec.zero && !spec.left) return sign + digits.padStart(spec.width - sign.length, "0");
  return sign + digits;
}

function ipv6(bytes: Uint8Array, colons: boolean): string {
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2)
    groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16).padStart(4, "0"));
  return groups.join(colons ? ":" : "");
}

/**
 * The bytes that the format makes of the arguments, without a closing zero; or a negative errno. `format` ends before
 * its zero. Addresses print in full: an embedded kernel has nothing to hide. The result may exceed `room`, the bytes
 * that the caller can take: it is cut by the caller, who wants to know the whole length.
 */
export function bprintf(
  format: Uint8Array,
  args: readonly bigint[],
  memory: FormatMemory,
  room: number,
): Uint8Array | number {
  const out: number[] = [];
  let used = 0;
  for (let i = 0; i < format.length; i++) {
    const c = format[i]!;
    if (c < 128 && !isPrint(c) && !isSpace(c)) return -EINVAL;
    if (c !== 0x25) {
      out.push(c);
      continue;
    }
    if (format[i + 1] === 0x25) {
      out.push(0x25);
      i++;
      continue;
    }
    if (used >= args.length) return -EINVAL;
    const start = ++i;
    while (i < format.length && "0+- ".includes(String.fromCharCode(format[i]!))) i++;
    const flags = String.fromCharCode(...format.subarray(start, i));
    let width = 0;
    if (format[i]! >= 0x31 && format[i]! <= 0x39)
      while (format[i]! >= 0x30 && format[i]! <= 0x39)
        width = Math.min(width * 10 + format[i++]! - 0x30, 0x7fffff);
    const spec: Spec = {
      left: flags.includes("-"),
      plus: flags.includes("+"),
      space: flags.includes(" "),
      zero: flags.includes("0"),
      width,
    };
    const char = (at: number): string => (format[at] === undefined ? "" : String.fromCharCode(format[at]!));
    const arg = args[used++]!;
    if (char(i) === "p") {
      const kind = char(i + 1);
      if ((kind === "k" || kind === "u") && char(i + 2) === "s") {
        i += 2;
        if (!ends(format[i + 1])) return -EINVAL;
        out.push(...pad([...(memory.text(arg, MAX_STRING, kind === "u") ?? [])], spec));
      } else if (ends(format[i + 1]) || kind === "K" || kind === "x") {
        if (!ends(format[i + 1])) i++;
        const digits = arg.toString(16);
        out.push(...pad(ascii(spec.width ? digits : digits.padStart(16, "0")), spec, spec.zero ? 48 : 32));
      } else if (kind === "s" || kind === "S" || kind === "B") {
        // No symbols: the kernel prints an unknown address in this form.
        i++;
        out.push(...pad(ascii(`0x${arg.toString(16)}`), spec));
      } else if ((kind === "i" || kind === "I") && (char(i + 2) === "4" || char(i + 2) === "6")) {
        i += 2;
        const size = char(i) === "4" ? 4 : 16;
        // bstr_printf() does not even count an address that begins behind the buffer's end.
        if (out.length >= room) continue;
        const bytes = memory.bytes(arg, size) ?? new Uint8Array(size);
        if (size === 16) out.push(...ascii(ipv6(bytes, kind === "I")));
        else
          out.push(
            ...ascii([...bytes].map((b) => (kind === "i" ? `${b}`.padStart(3, "0") : `${b}`)).join(".")),
          );
      } else return -EINVAL;
      continue;
    }
    if (char(i) === "s") {
      if (!ends(format[i + 1])) return -EINVAL;
      out.push(...pad([...(memory.text(arg, MAX_STRING, false) ?? [])], spec));
      continue;
    }
    if (char(i) === "c") {
      out.push(...pad([Number(arg & 0xffn)], spec));
      continue;
    }
    let bits = 32;
    for (let longs = 0; longs < 2 && char(i) === "l"; longs++) {
      bits = 64;
      i++;
    }
    const value = BigInt.asUintN(bits, arg);
    const conversion = char(i);
    if (conversion === "d" || conversion === "i")
      out.push(...pad(ascii(number(BigInt.asIntN(bits, arg), spec, true)), spec));
    else if (conversion === "u") out.push(...pad(ascii(number(value, spec, false)), spec));
    else if (conversion === "x" || conversion === "X") {
      let digits = value.toString(16);
      if (conversion === "X") digits = digits.toUpperCase();
      out.push(...pad(ascii(digits), spec, spec.zero && !spec.left ? 48 : 32));
    } else return -EINVAL;
  }
  return Uint8Array.from(out);
}

// Bytes and text of classic BPF: struct sock_filter { u16 code; u8 jt, jf; u32 k; } and the decimal lines of
// `tcpdump -ddd`, which bpf_asm and iptables' xt_bpf also write (on one line, separated by commas).
import { AsmError } from "../../diag/index.ts";
import { BPF_MAXINSNS } from "../../uapi/index.ts";
import type { ClassicInsn } from "./insn.ts";

export type ByteOrder = "little" | "big";

const INSN_SIZE = 8;

/** struct sock_filter[] as the machine of the given byte order holds it. Throws AsmError. */
export function decodeClassic(bytes: Uint8Array, order: ByteOrder = "little"): ClassicInsn[] {
  if (bytes.length % INSN_SIZE !== 0)
    throw new AsmError(`classic BPF comes in ${INSN_SIZE}-byte instructions, got ${bytes.length} bytes`);
  const count = bytes.length / INSN_SIZE;
  checkCount(count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const little = order === "little";
  const insns: ClassicInsn[] = [];
  for (let at = 0; at < bytes.length; at += INSN_SIZE)
    insns.push({
      code: view.getUint16(at, little),
      jt: view.getUint8(at + 2),
      jf: view.getUint8(at + 3),
      k: view.getUint32(at + 4, little),
    });
  return insns;
}

/** The inverse of decodeClassic. */
export function encodeClassic(insns: readonly ClassicInsn[], order: ByteOrder = "little"): Uint8Array {
  const bytes = new Uint8Array(insns.length * INSN_SIZE);
  const view = new DataView(bytes.buffer);
  const little = order === "little";
  insns.forEach((insn, i) => {
    view.setUint16(i * INSN_SIZE, insn.code, little);
    view.setUint8(i * INSN_SIZE + 2, insn.jt);
    view.setUint8(i * INSN_SIZE + 3, insn.jf);
    view.setUint32(i * INSN_SIZE + 4, insn.k, little);
  });
  return bytes;
}

/** What `tcpdump -ddd` prints: the count, then `code jt jf k` a line, all decimal. Throws AsmError naming the line. */
export function parseDdd(text: string): ClassicInsn[] {
  const lines: { text: string; line: number }[] = [];
  text.split("\n").forEach((row, i) => {
    for (const part of row.split(",")) if (part.trim()) lines.push({ text: part.trim(), line: i + 1 });
  });
  const head = lines[0];
  if (head === undefined) throw new AsmError("no classic BPF here: expected what `tcpdump -ddd` prints");
  if (!/^\d+$/.test(head.text))
    throw new AsmError(`expected the number of instructions, got ${quote(head.text)}`, { line: head.line });
  const count = Number(head.text);
  checkCount(count);
  const insns = lines.slice(1, 1 + count).map(({ text: row, line }): ClassicInsn => {
    const fields = row.split(/\s+/);
    if (fields.length !== 4 || !fields.every((field) => /^\d{1,10}$/.test(field)))
      throw new AsmError(`expected \`code jt jf k\` in decimal, got ${quote(row)}`, { line });
    const [code, jt, jf, k] = fields.map(Number) as [number, number, number, number];
    if (code > 0xffff || jt > 0xff || jf > 0xff || k > 0xffffffff)
      throw new AsmError(`a field of ${quote(row)} is out of range (u16, u8, u8, u32)`, { line });
    return { code, jt, jf, k };
  });
  if (insns.length < count)
    throw new AsmError(`the first line promises ${count} instructions, ${insns.length} follow`, {
      line: head.line,
    });
  const extra = lines[1 + count];
  if (extra !== undefined)
    throw new AsmError(`${quote(extra.text)} follows the last of ${count} instructions`, {
      line: extra.line,
    });
  return insns;
}

/** The inverse of parseDdd. */
export function formatDdd(insns: readonly ClassicInsn[]): string {
  return `${insns.length}\n${insns.map(({ code, jt, jf, k }) => `${code} ${jt} ${jf} ${k}\n`).join("")}`;
}

function checkCount(count: number): void {
  if (count === 0 || count > BPF_MAXINSNS)
    throw new AsmError(`a classic program has 1 to ${BPF_MAXINSNS} instructions, got ${count}`);
}

function quote(text: string): string {
  return `"${text.length > 40 ? `${text.slice(0, 40)}...` : text}"`;
}

// A program's tag: SHA-256 over its instructions with map references blanked (bpf_prog_calc_tag in kernel/bpf/core.c;
// SHA-1 before Linux 6.18).
import { BPF_DW, BPF_IMM, BPF_LD, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "../uapi/index.ts";

const rotr = (x: number, n: number): number => (x >>> n) | (x << (32 - n));

/** The first 64 primes give the constants: fractional bits of their cube roots, and of 8 square roots (FIPS 180-4). */
const primes: number[] = [];
for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
const fraction = (x: number): number => ((x - Math.floor(x)) * 0x100000000) | 0;
const K = Int32Array.from(primes, (p) => fraction(Math.cbrt(p)));
const H = Int32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p)));

/** SHA-256 of bytes that are at hand, without the asynchronous WebCrypto. */
export function sha256(message: Uint8Array): Uint8Array {
  const padded = new Uint8Array(((message.length + 8) >> 6) * 64 + 64);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(message.length / 0x20000000));
  view.setUint32(padded.length - 4, message.length << 3);
  const h = H.slice();
  const w = new Int32Array(64);
  const s = new Int32Array(8);
  for (let block = 0; block < padded.length; block += 64) {
    for (let t = 0; t < 16; t++) w[t] = view.getInt32(block + t * 4);
    for (let t = 16; t < 64; t++) {
      const x = w[t - 15]!;
      const y = w[t - 2]!;
      const s0 = rotr(x, 7) ^ rotr(x, 18) ^ (x >>> 3);
      const s1 = rotr(y, 17) ^ rotr(y, 19) ^ (y >>> 10);
      w[t] = w[t - 16]! + s0 + w[t - 7]! + s1;
    }
    s.set(h);
    for (let t = 0; t < 64; t++) {
      const a = s[0]!;
      const e = s[4]!;
      const ch = (e & s[5]!) ^ (~e & s[6]!);
      const t1 = (s[7]! + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ch + K[t]! + w[t]!) | 0;
      const majority = (a & s[1]!) ^ (a & s[2]!) ^ (s[1]! & s[2]!);
      const t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + majority;
      s.copyWithin(1, 0, 7);
      s[4] = s[4]! + t1;
      s[0] = t1 + t2;
    }
    for (let i = 0; i < 8; i++) h[i] = h[i]! + s[i]!;
  }
  const digest = new Uint8Array(32);
  const out = new DataView(digest.buffer);
  h.forEach((x, i) => {
    out.setInt32(i * 4, x);
  });
  return digest;
}

/** 16 hex digits. */
export function progTag(insns: Uint8Array): string {
  const raw = insns.slice();
  let wasMap = false;
  for (let at = 0; at + 8 <= raw.length; at += 8) {
    const src = raw[at + 1]! >> 4;
    if (
      !wasMap &&
      raw[at] === (BPF_LD | BPF_IMM | BPF_DW) &&
      (src === BPF_PSEUDO_MAP_FD || src === BPF_PSEUDO_MAP_VALUE)
    ) {
      wasMap = true;
      raw.fill(0, at + 4, at + 8);
    } else if (wasMap && raw[at] === 0 && raw[at + 1] === 0 && raw[at + 2] === 0 && raw[at + 3] === 0) {
      wasMap = false;
      raw.fill(0, at + 4, at + 8);
    } else wasMap = false;
  }
  return [...sha256(raw).subarray(0, 8)].map((b) => b.toString(16).padStart(2, "0")).join("");
}

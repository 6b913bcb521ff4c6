// BPF_MAP_TYPE_BLOOM_FILTER (kernel/bpf/bloom_filter.c), with the kernel's hash: under BPF_F_ZERO_SEED even the false
// positives are the same.
import { BLOOM_BITS, BLOOM_HASHES, BLOOM_MASK, BLOOM_SEED, MAP_VALUE_SIZE } from "../../src/maps/layout";
import { EINVAL, ENOENT } from "./errno";

/** Bob Jenkins' lookup3 (public domain), the form that <linux/jhash.h> calls jhash; jhash2 gives the same on words. */
export function jhash(key: u32, length: u32, seed: u32): u32 {
  let a: u32 = 0xdeadbeef + length + seed;
  let b = a;
  let c = a;
  while (length > 12) {
    a += load<u32>(key);
    b += load<u32>(key, 4);
    c += load<u32>(key, 8);
    a = (a - c) ^ rotl(c, 4);
    c += b;
    b = (b - a) ^ rotl(a, 6);
    a += c;
    c = (c - b) ^ rotl(b, 8);
    b += a;
    a = (a - c) ^ rotl(c, 16);
    c += b;
    b = (b - a) ^ rotl(a, 19);
    a += c;
    c = (c - b) ^ rotl(b, 4);
    b += a;
    key += 12;
    length -= 12;
  }
  if (length == 0) return c;
  for (let i: u32 = 0; i < length; i++) {
    const byte = <u32>load<u8>(key + i) << ((i & 3) << 3);
    if (i < 4) a += byte;
    else if (i < 8) b += byte;
    else c += byte;
  }
  c = (c ^ b) - rotl(b, 14);
  a = (a ^ c) - rotl(c, 11);
  b = (b ^ a) - rotl(a, 25);
  c = (c ^ b) - rotl(b, 16);
  a = (a ^ c) - rotl(c, 4);
  b = (b ^ a) - rotl(a, 14);
  return (c ^ b) - rotl(b, 24);
}

export function bloom_push(map: u32, value: u32, flags: u64): i32 {
  if (flags != 0) return -EINVAL;
  const n = load<u32>(map, BLOOM_HASHES);
  for (let i: u32 = 0; i < n; i++) {
    const h = jhash(value, load<u32>(map, MAP_VALUE_SIZE), load<u32>(map, BLOOM_SEED) + i) & load<u32>(map, BLOOM_MASK);
    const at = load<u32>(map, BLOOM_BITS) + (h >>> 3);
    store<u8>(at, <u8>(<u32>load<u8>(at) | (<u32>1 << (h & 7))));
  }
  return 0;
}

/** 0: the value may have been pushed; -ENOENT: it was not. */
export function bloom_peek(map: u32, value: u32): i32 {
  const n = load<u32>(map, BLOOM_HASHES);
  for (let i: u32 = 0; i < n; i++) {
    const h = jhash(value, load<u32>(map, MAP_VALUE_SIZE), load<u32>(map, BLOOM_SEED) + i) & load<u32>(map, BLOOM_MASK);
    if (!(<u32>load<u8>(load<u32>(map, BLOOM_BITS) + (h >>> 3)) & (<u32>1 << (h & 7)))) return -ENOENT;
  }
  return 0;
}

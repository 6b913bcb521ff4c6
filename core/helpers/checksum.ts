// Ones' complement sums (include/net/checksum.h, lib/checksum.c). __wsum is a u32, __sum16 a u16, both as loaded from
// memory on a little-endian machine.

/** csum_partial(): any length; the sum of something other than zero bytes is never 0. */
export function csumPartial(at: u32, length: u32, seed: u32): u32 {
  let sum: u64 = seed;
  while (length >= 8) {
    const word = load<u64>(at);
    sum += (word & 0xffffffff) + (word >>> 32);
    at += 8;
    length -= 8;
  }
  if (length & 4) {
    sum += load<u32>(at);
    at += 4;
  }
  if (length & 2) {
    sum += load<u16>(at);
    at += 2;
  }
  if (length & 1) sum += load<u8>(at);
  sum = (sum & 0xffffffff) + (sum >>> 32);
  return <u32>((sum & 0xffffffff) + (sum >>> 32));
}

// @ts-ignore: decorator
@inline
export function csumAdd(a: u32, b: u32): u32 {
  const sum = a + b;
  return sum + u32(sum < b);
}

// @ts-ignore: decorator
@inline
export function csumSub(a: u32, b: u32): u32 {
  return csumAdd(a, ~b);
}

/** Sum of a block that begins at an odd offset: its bytes change places. */
export function csumShift(sum: u32, offset: u32): u32 {
  return offset & 1 ? rotr<u32>(sum, 8) : sum;
}

/** 32 bits folded to 16, not inverted. */
// @ts-ignore: decorator
@inline
export function csumFrom32to16(sum: u32): u32 {
  return (sum + rotl<u32>(sum, 16)) >>> 16;
}

/** csum_fold(): folded and inverted. */
// @ts-ignore: decorator
@inline
export function csumFold(sum: u32): u32 {
  return ~csumFrom32to16(sum) & 0xffff;
}

/** csum_replace4() on the checksum at `at`. */
export function csumReplace4(at: u32, from: u32, to: u32): void {
  store<u16>(at, csumFold(csumAdd(csumSub(~(<u32>load<u16>(at)), from), to)));
}

/** csum_replace_by_diff() on the checksum at `at`. */
export function csumReplaceByDiff(at: u32, diff: u32): void {
  store<u16>(at, csumFold(csumAdd(diff, ~(<u32>load<u16>(at)))));
}

function add16(a: u32, b: u32): u32 {
  const sum = (a + b) & 0xffff;
  return (sum + u32(sum < (b & 0xffff))) & 0xffff;
}

/** csum_replace2() on the checksum at `at`. */
export function csumReplace2(at: u32, from: u32, to: u32): void {
  const old = ~(<u32>load<u16>(at)) & 0xffff;
  store<u16>(at, ~add16(add16(old, ~from & 0xffff), to & 0xffff));
}

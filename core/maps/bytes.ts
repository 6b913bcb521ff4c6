// Moving and comparing the few bytes of a key or value: memory.copy costs more than the bytes below a cache line or two.

// @ts-ignore: decorator
@inline
export function copyBytes(to: u32, from: u32, n: u32): void {
  if (n == 8) {
    store<u64>(to, load<u64>(from));
    return;
  }
  if (n == 4) {
    store<u32>(to, load<u32>(from));
    return;
  }
  copyMany(to, from, n);
}

function copyMany(to: u32, from: u32, n: u32): void {
  // Overlapping ranges (a program may copy a value onto itself, shifted) and long ones.
  if (n > 128 || to - from < n || from - to < n) {
    memory.copy(to, from, n);
    return;
  }
  while (n >= 8) {
    store<u64>(to, load<u64>(from));
    to += 8;
    from += 8;
    n -= 8;
  }
  if (n & 4) {
    store<u32>(to, load<u32>(from));
    to += 4;
    from += 4;
  }
  if (n & 2) {
    store<u16>(to, load<u16>(from));
    to += 2;
    from += 2;
  }
  if (n & 1) store<u8>(to, load<u8>(from));
}

// @ts-ignore: decorator
@inline
export function equalBytes(a: u32, b: u32, n: u32): bool {
  while (n >= 8) {
    if (load<u64>(a) != load<u64>(b)) return false;
    a += 8;
    b += 8;
    n -= 8;
  }
  if (n & 4) {
    if (load<u32>(a) != load<u32>(b)) return false;
    a += 4;
    b += 4;
  }
  if (n & 2) {
    if (load<u16>(a) != load<u16>(b)) return false;
    a += 2;
    b += 2;
  }
  return !(n & 1) || load<u8>(a) == load<u8>(b);
}

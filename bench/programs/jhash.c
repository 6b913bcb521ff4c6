/* Bob Jenkins' lookup3 over 1,536 bytes. */
#include "bench.h"

PROGRAM(p) {
  u32 a = 0xdeadbeef + 1536, b = a, c = a;
  for (int i = 0; i < 1536; i += 12) {
    a += *(u32 *)(p + i);
    b += *(u32 *)(p + i + 4);
    c += *(u32 *)(p + i + 8);
    a -= c; a ^= rotl32(c, 4); c += b;
    b -= a; b ^= rotl32(a, 6); a += c;
    c -= b; c ^= rotl32(b, 8); b += a;
    a -= c; a ^= rotl32(c, 16); c += b;
    b -= a; b ^= rotl32(a, 19); a += c;
    c -= b; c ^= rotl32(b, 4); b += a;
  }
  c ^= b; c -= rotl32(b, 14);
  a ^= c; a -= rotl32(c, 11);
  b ^= a; b -= rotl32(a, 25);
  c ^= b; c -= rotl32(b, 16);
  a ^= c; a -= rotl32(c, 4);
  b ^= a; b -= rotl32(a, 14);
  c ^= b; c -= rotl32(b, 24);
  return c;
}

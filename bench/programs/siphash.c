/* SipHash-2-4 over 1 KB. */
#include "bench.h"

#define ROUND            \
  v0 += v1;              \
  v1 = rotl64(v1, 13);   \
  v1 ^= v0;              \
  v0 = rotl64(v0, 32);   \
  v2 += v3;              \
  v3 = rotl64(v3, 16);   \
  v3 ^= v2;              \
  v0 += v3;              \
  v3 = rotl64(v3, 21);   \
  v3 ^= v0;              \
  v2 += v1;              \
  v1 = rotl64(v1, 17);   \
  v1 ^= v2;              \
  v2 = rotl64(v2, 32)

PROGRAM(p) {
  u64 k0 = 0x0706050403020100ULL, k1 = 0x0f0e0d0c0b0a0908ULL;
  u64 v0 = k0 ^ 0x736f6d6570736575ULL, v1 = k1 ^ 0x646f72616e646f6dULL;
  u64 v2 = k0 ^ 0x6c7967656e657261ULL, v3 = k1 ^ 0x7465646279746573ULL;
  for (int i = 0; i < 1024; i += 8) {
    u64 m = *(u64 *)(p + i);
    v3 ^= m;
    ROUND;
    ROUND;
    v0 ^= m;
  }
  v2 ^= 0xff;
  ROUND;
  ROUND;
  ROUND;
  ROUND;
  u64 h = v0 ^ v1 ^ v2 ^ v3;
  return h ^ (h >> 32);
}

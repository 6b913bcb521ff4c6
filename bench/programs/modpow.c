/* Modular powers: 64-bit division and remainder. */
#include "bench.h"

PROGRAM(p) {
  u64 result = 0;
  for (int i = 0; i < 32; i++) {
    u64 modulus = *(u32 *)(p + 12 * i) | 1;
    u64 base = *(u32 *)(p + 12 * i + 4) % modulus;
    u64 exponent = *(u32 *)(p + 12 * i + 8) & 0xffffff;
    u64 power = 1;
    for (int bit = 0; bit < 24; bit++) {
      u64 product = power * base % modulus;
      power = (exponent >> bit) & 1 ? product : power;
      base = base * base % modulus;
    }
    result += power + exponent / (modulus >> 20 | 1);
  }
  return result ^ (result >> 32);
}

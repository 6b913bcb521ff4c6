/* Primes below 4,096, counted with Eratosthenes' sieve. */
#include "bench.h"
#define LIMIT 4096
u8 composite[LIMIT];

PROGRAM(p) {
  u32 count = 0;
  for (u32 i = 2; i < LIMIT; i++) composite[i] = i > 2 && !(i & 1);
  for (u32 i = 3; i < 64; i += 2) {
    if (composite[i]) continue;
    for (u32 j = i * i; j < LIMIT; j += 2 * i) composite[j] = 1;
  }
  for (u32 i = 2; i < LIMIT; i++) count += !composite[i];
  return count + p[0];
}

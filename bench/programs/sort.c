/* Odd-even transposition sort of 64 words. */
#include "bench.h"
#define COUNT 64
u32 words[COUNT];

PROGRAM(p) {
  u32 hash = 0;
  for (int i = 0; i < COUNT; i++) words[i] = *(u32 *)(p + 8 * i);
  for (int round = 0; round < COUNT; round++)
    for (int i = round & 1; i + 1 < COUNT; i += 2) {
      u32 a = words[i], b = words[i + 1];
      words[i] = a < b ? a : b;
      words[i + 1] = a < b ? b : a;
    }
  for (int i = 0; i < COUNT; i++) hash = hash * 33 + words[i];
  return hash;
}

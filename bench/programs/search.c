/* Every place of an 8-byte needle in 1,900 bytes, by a rolling hash and a comparison. */
#include "bench.h"

PROGRAM(p) {
  u64 needle = *(u64 *)(p + 1024);
  u32 want = 0, hash = 0, found = 0;
  for (int i = 0; i < 8; i++) want = want * 257 + p[1024 + i];
  for (int i = 0; i < 8; i++) hash = hash * 257 + p[i];
  u32 out = 257u * 257 * 257 * 257 * 257 * 257 * 257;
  for (int i = 8; i < 1900; i++) {
    if (hash == want && *(u64 *)(p + i - 8) == needle) found += i;
    hash = (hash - p[i - 8] * out) * 257 + p[i];
  }
  return found + hash;
}

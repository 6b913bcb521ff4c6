/* Base64 of 1,200 bytes. */
#include "bench.h"
const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
u8 text[1600];

PROGRAM(p) {
  u32 hash = 0;
  for (int i = 0, o = 0; i < 1200; i += 3, o += 4) {
    u32 bits = p[i] << 16 | p[i + 1] << 8 | p[i + 2];
    text[o] = alphabet[bits >> 18];
    text[o + 1] = alphabet[bits >> 12 & 63];
    text[o + 2] = alphabet[bits >> 6 & 63];
    text[o + 3] = alphabet[bits & 63];
  }
  for (int o = 0; o < 1600; o += 4) hash = hash * 17 + *(u32 *)(text + o);
  return hash;
}

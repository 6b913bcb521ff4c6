/* CRC-32 of 1 KB, with a table that the program makes itself. */
#include "bench.h"
u32 table[256];

PROGRAM(p) {
  u32 crc = 0xffffffff;
  for (u32 i = 0; i < 256; i++) {
    u32 value = i;
    for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ 0xedb88320 : value >> 1;
    table[i] = value;
  }
  for (int i = 0; i < 1024; i++) crc = table[(crc ^ p[i]) & 255] ^ crc >> 8;
  return ~crc;
}

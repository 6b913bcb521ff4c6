/* Internet checksum of a packet of 1,480 bytes. */
#include "bench.h"

PROGRAM(p) {
  u64 sum = 0;
  for (int i = 0; i < 1480; i += 2) sum += *(u16 *)(p + i);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (u16)~sum;
}

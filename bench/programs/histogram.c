/* Counts bytes with a lookup in an array map for each. */
#include "bench.h"
#ifdef __bpf__
struct {
  int (*type)[2];
  u32 *key;
  u64 *value;
  int (*max_entries)[256];
} counts SEC(".maps");
#define COUNTER(index) map_lookup(&counts, &(index))
#else
u64 counters[256];
static inline void *lookup(u32 *index) { return *index < 256 ? &counters[*index] : 0; }
#define COUNTER(index) lookup(&(index))
#endif

PROGRAM(p) {
  u32 hash = 0;
  for (u32 i = 0; i < 256; i++) {
    u32 index = i;
    u64 *counter = COUNTER(index);
    if (counter) *counter = 0;
  }
  for (int i = 0; i < 512; i++) {
    u32 index = p[i];
    u64 *counter = COUNTER(index);
    if (counter) *counter += i;
  }
  for (u32 i = 0; i < 256; i++) {
    u32 index = i;
    u64 *counter = COUNTER(index);
    if (counter) hash = hash * 31 + *counter;
  }
  return hash;
}

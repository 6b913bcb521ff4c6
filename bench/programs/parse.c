/* 24 times: parse Ethernet, VLAN, IPv4, TCP and match the tuple with a table of rules. */
#include "bench.h"
#define RULES 32
struct rule {
  u32 source, source_mask, target, target_mask;
  u16 low, high;
  u32 verdict;
};
struct rule rules[RULES];

PROGRAM(p) {
  u32 verdicts = 0;
  for (u32 i = 0; i < RULES; i++) {
    rules[i].source = 0x0a000000 + (i << 8);
    rules[i].source_mask = 0xffffff00;
    rules[i].target = 0xc0a80000 + (i & 7);
    rules[i].target_mask = 0xffff0000;
    rules[i].low = 80 + i;
    rules[i].high = 90 + i;
    rules[i].verdict = i * 3 + 1;
  }
  for (u32 k = 0; k < 24; k++) {
    u8 *at = p + k * 64;
    u32 type = swap16(*(u16 *)(at + 12));
    if (type == 0x8100) {
      type = swap16(*(u16 *)(at + 16));
      at += 4;
    }
    if (type != 0x800) {
      verdicts += 7;
      continue;
    }
    if ((at[14] & 0xf0) != 0x40 || (at[14] & 15) != 5 || at[23] != 6) continue;
    u32 source = swap32(*(u32 *)(at + 26)), target = swap32(*(u32 *)(at + 30));
    u32 port = swap16(*(u16 *)(at + 36));
    u32 verdict = 0;
    for (u32 i = 0; i < RULES; i++) {
      struct rule *rule = &rules[i];
      if ((source & rule->source_mask) == rule->source && (target & rule->target_mask) == (rule->target & 0xffff0000) &&
          port >= rule->low && port <= rule->high) {
        verdict = rule->verdict;
        break;
      }
    }
    verdicts = verdicts * 5 + verdict;
  }
  return verdicts;
}

// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct entry {
	__u32 items[8];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct entry);
} table SEC(".maps");

SEC("tc")
int prog(struct __sk_buff *skb)
{
	__u32 key = 0, i = skb->mark;
	struct entry *e = bpf_map_lookup_elem(&table, &key);
#ifdef REPAIRED
	if (!e || i > 7)
#else
	if (!e || i > 8)
#endif
		return 0;
	return e->items[i];
}

char LICENSE[] SEC("license") = "GPL";

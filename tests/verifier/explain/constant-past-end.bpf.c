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
	__u32 key = 0;
	struct entry *e = bpf_map_lookup_elem(&table, &key);
	if (!e)
		return 0;
#ifdef REPAIRED
	return *(volatile __u32 *)((void *)e + 28);
#else
	return *(volatile __u32 *)((void *)e + 32);
#endif
}

char LICENSE[] SEC("license") = "GPL";

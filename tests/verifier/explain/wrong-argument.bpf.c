// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("tc")
int prog(struct __sk_buff *skb)
{
#ifdef REPAIRED
	__u32 mark = skb->mark;
	void *key = &mark;
#else
	void *key = (void *)(long)skb->mark;
#endif
	__u64 *count = bpf_map_lookup_elem(&counts, key);
	return count ? *count : 0;
}

char LICENSE[] SEC("license") = "GPL";

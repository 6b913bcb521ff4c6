// SPDX-License-Identifier: MIT
// kernel: 6.1
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct pair {
	__u8 kind;
	__u64 id;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct pair);
	__type(value, __u64);
} pairs SEC(".maps");

SEC("socket")
int prog(struct __sk_buff *skb)
{
#ifdef REPAIRED
	struct pair key;
	__builtin_memset(&key, 0, sizeof(key));
	key.kind = 1;
	key.id = skb->len;
#else
	struct pair key;
	key.kind = 1;
	key.id = skb->len;
#endif
	__u64 *n = bpf_map_lookup_elem(&pairs, &key);
	return n ? *n : 0;
}

char LICENSE[] SEC("license") = "GPL";

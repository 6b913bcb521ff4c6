// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} jumps SEC(".maps");

SEC("tc")
int prog(struct __sk_buff *skb)
{
#ifdef REPAIRED
	bpf_tail_call(skb, &jumps, 0);
#else
	bpf_tail_call(skb, &programs, 0);
#endif
	return 0;
}

char LICENSE[] SEC("license") = "GPL";

// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("tc")
int prog(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data;
	__u8 *data_end = (void *)(long)skb->data_end;
#ifdef REPAIRED
	__u64 length = (__u64)data_end - (__u64)data;
#else
	__u64 length = (__u64)data * 2 - (__u64)data_end;
#endif
	return length > 64;
}

char LICENSE[] SEC("license") = "GPL";

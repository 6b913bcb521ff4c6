// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} unused SEC(".maps");

char buf[64];

SEC("tc")
int prog(struct __sk_buff *skb)
{
	__u32 len = skb->len;
#ifdef REPAIRED
	if (len == 0 || len > sizeof(buf))
		return 0;
#endif
	bpf_skb_load_bytes(skb, 0, buf, len);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";

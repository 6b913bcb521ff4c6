// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("socket")
int prog(struct __sk_buff *skb)
{
#ifdef REPAIRED
	return skb->len;
#else
	return skb->data_end - skb->data;
#endif
}

char LICENSE[] SEC("license") = "GPL";

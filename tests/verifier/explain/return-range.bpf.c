// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup_skb/egress")
int prog(struct __sk_buff *skb)
{
#ifdef REPAIRED
	return skb->len > 100;
#else
	return skb->len;
#endif
}

char LICENSE[] SEC("license") = "GPL";

// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup_skb/ingress")
int prog(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
#ifdef REPAIRED
	if (!sk)
		return 1;
#endif
	return sk->family == 7;
}

char LICENSE[] SEC("license") = "GPL";

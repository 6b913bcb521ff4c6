// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static __attribute__((noinline)) int inner(struct __sk_buff *skb)
{
#ifdef REPAIRED
	char big[100];
#else
	char big[300];
#endif
	big[0] = skb->len;
	asm volatile("" : : "r"(big) : "memory");
	return big[0];
}

SEC("tc")
int prog(struct __sk_buff *skb)
{
	char mine[300];
	mine[0] = inner(skb);
	asm volatile("" : : "r"(mine) : "memory");
	return mine[0];
}

char LICENSE[] SEC("license") = "GPL";

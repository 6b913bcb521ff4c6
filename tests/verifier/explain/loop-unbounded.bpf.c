// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int prog(struct __sk_buff *skb)
{
	volatile __u32 sum = 0;
#ifdef REPAIRED
	for (int i = 0; i < 100 && bpf_get_prandom_u32() != 7; i++)
		sum = 1;
#else
	while (bpf_get_prandom_u32() != 7)
		sum = 1;
#endif
	return sum;
}

char LICENSE[] SEC("license") = "GPL";

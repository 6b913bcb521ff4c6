// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
__attribute__((naked)) int prog(struct __sk_buff *skb)
{
#ifdef REPAIRED
	asm volatile("r0 = 0; exit" ::: "r0");
#else
	asm volatile("exit" ::: "r0");
#endif
}

char LICENSE[] SEC("license") = "GPL";

// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
__attribute__((naked)) int prog(struct __sk_buff *skb)
{
#ifdef REPAIRED
	asm volatile("r6 = r1; call 7; r0 = *(u32 *)(r6 + 0); exit" ::: "r0");
#else
	asm volatile("call 7; r0 = *(u32 *)(r1 + 0); exit" ::: "r0");
#endif
}

char LICENSE[] SEC("license") = "GPL";

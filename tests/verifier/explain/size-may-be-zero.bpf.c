// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char buf[64];

SEC("tc")
int prog(struct __sk_buff *skb)
{
	__u32 len = skb->len;
#ifdef REPAIRED
	if (len == 0 || len > sizeof(buf))
#else
	if (len > sizeof(buf))
#endif
		return 0;
	bpf_skb_load_bytes(skb, 0, buf, len);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";

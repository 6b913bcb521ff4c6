// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int prog(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data;
	__u8 *data_end = (void *)(long)skb->data_end;
#ifdef REPAIRED
	if (data + 21 > data_end)
#else
	if (data + 20 > data_end)
#endif
		return 0;
	return data[20];
}

char LICENSE[] SEC("license") = "GPL";

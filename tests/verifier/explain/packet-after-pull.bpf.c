// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int prog(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data;
	__u8 *data_end = (void *)(long)skb->data_end;
	if (data + 4 > data_end)
		return 0;
	if (bpf_skb_pull_data(skb, 64))
		return 0;
#ifdef REPAIRED
	data = (void *)(long)skb->data;
	data_end = (void *)(long)skb->data_end;
	if (data + 4 > data_end)
		return 0;
#endif
	return data[3];
}

char LICENSE[] SEC("license") = "GPL";

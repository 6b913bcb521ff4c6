// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
#ifdef REPAIRED
	__uint(map_flags, 0);
#else
	__uint(map_flags, BPF_F_RDONLY_PROG);
#endif
	__type(key, __u32);
	__type(value, __u64);
} config SEC(".maps");

SEC("tc")
int prog(struct __sk_buff *skb)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&config, &key);
	if (value)
		*value = 1;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";

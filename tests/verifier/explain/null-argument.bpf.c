// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_execve")
int prog(void *ctx)
{
	__u32 key = 1;
	__u64 *count = bpf_map_lookup_elem(&counts, &key);
#ifdef REPAIRED
	if (!count)
		return 0;
#endif
	bpf_probe_read_kernel(count, sizeof(*count), (void *)0xffff888000000000ULL);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";

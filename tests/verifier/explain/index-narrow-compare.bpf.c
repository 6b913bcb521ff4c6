// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct entry {
	__u32 items[8];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct entry);
} table SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_execve")
int prog(void *ctx)
{
	__u32 key = 0;
	__u64 i = bpf_get_current_pid_tgid();
	struct entry *e = bpf_map_lookup_elem(&table, &key);
	if (!e)
		return 0;
#ifdef REPAIRED
	if (i > 7)
#else
	if ((__u32)i > 7)
#endif
		return 0;
	return e->items[i];
}

char LICENSE[] SEC("license") = "GPL";

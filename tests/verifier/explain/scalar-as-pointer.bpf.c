// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tracepoint/syscalls/sys_enter_execve")
int prog(void *ctx)
{
	__u64 *task = (void *)bpf_get_current_task();
#ifdef REPAIRED
	__u64 word = 0;
	bpf_probe_read_kernel(&word, sizeof(word), task);
	return word & 1;
#else
	return *(volatile __u64 *)task & 1;
#endif
}

char LICENSE[] SEC("license") = "GPL";

// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char buf[64];

SEC("tracepoint/syscalls/sys_enter_execve")
int prog(void *ctx)
{
	long n = (int)bpf_get_prandom_u32();
#ifdef REPAIRED
	if (n < 0 || n > 64)
#else
	if (n > 64)
#endif
		return 0;
	bpf_probe_read_kernel(buf, n, (void *)0xffff888000000000ULL);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";

// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifdef REPAIRED
SEC("lsm.s/file_open")
#else
SEC("lsm/file_open")
#endif
int prog(void *ctx)
{
	char path[8];
	return bpf_copy_from_user(path, sizeof(path), (void *)0x1000) ? 0 : 0;
}

char LICENSE[] SEC("license") = "GPL";

// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
#ifdef REPAIRED
	return ((volatile __u32 *)ctx)[3] & 1;
#else
	return ((volatile __u32 *)ctx)[16];
#endif
}

char LICENSE[] SEC("license") = "GPL";

// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
#ifdef REPAIRED
	volatile __u32 ifindex = ctx->ingress_ifindex;
#else
	ctx->ingress_ifindex = 1;
#endif
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";

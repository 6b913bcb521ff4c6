// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	char comm[16];
#ifdef REPAIRED
	return bpf_xdp_load_bytes(ctx, 0, comm, sizeof(comm)) ? XDP_DROP : XDP_PASS;
#else
	return bpf_skb_load_bytes(ctx, 0, comm, sizeof(comm)) ? XDP_DROP : XDP_PASS;
#endif
}

char LICENSE[] SEC("license") = "GPL";

// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static long (*const missing)(void) = (void *)4000;

SEC("xdp")
int prog(struct xdp_md *ctx)
{
#ifdef REPAIRED
	return bpf_get_prandom_u32() & 1 ? XDP_DROP : XDP_PASS;
#else
	return missing() ? XDP_DROP : XDP_PASS;
#endif
}

char LICENSE[] SEC("license") = "GPL";

// Programs for the attach tests: a tc filter, a socket filter on UDP, an sk_lookup gate. Each counts what it decides.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct count {
	__u64 packets;
	__u64 bytes;
};

#define COUNTERS(name)                            \
	struct {                                  \
		__uint(type, BPF_MAP_TYPE_HASH);  \
		__uint(max_entries, 64);          \
		__type(key, __u32);               \
		__type(value, struct count);      \
	} name SEC(".maps")

COUNTERS(by_protocol);
COUNTERS(by_first_byte);
COUNTERS(by_port);

static __always_inline void add(void *map, __u32 key, __u32 bytes)
{
	struct count *count = bpf_map_lookup_elem(map, &key), fresh = { 1, bytes };

	if (!count) {
		bpf_map_update_elem(map, &key, &fresh, BPF_NOEXIST);
		return;
	}
	__sync_fetch_and_add(&count->packets, 1);
	__sync_fetch_and_add(&count->bytes, bytes);
}

/* Drops UDP over IPv4 to odd destination ports; counts by IP protocol, 256 for what is no IPv4. */
SEC("tcx/ingress")
int tc_filter(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP)) {
		add(&by_protocol, 256, skb->len);
		return TC_ACT_UNSPEC;
	}
	add(&by_protocol, ip->protocol, skb->len);
	if (ip->protocol != 17 || (void *)(udp + 1) > end)
		return TC_ACT_UNSPEC;
	return bpf_ntohs(udp->dest) & 1 ? TC_ACT_SHOT : TC_ACT_OK;
}

/* Behind tc_filter: counts what it neither drops nor passes at once. */
SEC("tcx/ingress")
int tc_after(struct __sk_buff *skb)
{
	add(&by_protocol, 1000, skb->len);
	return TC_ACT_OK;
}

/* On a UDP socket, where the packet starts with the UDP header: datagrams with an odd first byte go, others are cut to
 * their first 4 bytes, and those that begin with 0 come whole. */
SEC("socket")
int udp_filter(struct __sk_buff *skb)
{
	__u8 first = 0;

	if (bpf_skb_load_bytes(skb, 8, &first, 1))
		return 0;
	add(&by_first_byte, first, skb->len);
	if (first & 1)
		return 0;
	return first ? 8 + 4 : skb->len;
}

/* Lets packets to even ports below 4100 find their socket. */
SEC("sk_lookup")
int gate(struct bpf_sk_lookup *ctx)
{
	/* The sender's port: errors that come back for what was dropped. */
	if (ctx->local_port >= 4100)
		return SK_PASS;
	add(&by_port, ctx->local_port, ctx->protocol);
	return ctx->local_port & 1 ? SK_DROP : SK_PASS;
}

char _license[] SEC("license") = "GPL";

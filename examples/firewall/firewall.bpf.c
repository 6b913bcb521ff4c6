// SPDX-License-Identifier: MIT
// A small XDP firewall: drops by source prefix (IPv4 and IPv6), by destination port and by rate, counts every packet
// by reason, keeps a table of flows and reports each drop through a ring buffer.
//
//   clang-19 -g -O2 -target bpf -mcpu=v3 -I/usr/include/$(uname -m)-linux-gnu -c firewall.bpf.c -o firewall.bpf.o
//   llvm-strip-19 -g firewall.bpf.o
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define VLAN_DEPTH 2
#define IP_OFFSET_MASK 0x1fff

enum reason {
	PASS_OTHER,
	PASS_ARP,
	PASS_IPV4,
	PASS_IPV6,
	DROP_MALFORMED,
	DROP_FRAGMENT,
	DROP_PREFIX,
	DROP_PORT,
	DROP_RATE,
	REASON_MAX,
};

struct vlan_header {
	__be16 tci;
	__be16 proto;
};

struct prefix_v4 {
	__u32 prefixlen;
	__u8 addr[4];
};

struct prefix_v6 {
	__u32 prefixlen;
	__u8 addr[16];
};

struct rule {
	__u32 id;
	__u64 hits;
};

struct port_key {
	__u16 port;
	__u8 proto;
	__u8 pad;
};

struct counter {
	__u64 packets;
	__u64 bytes;
};

struct flow_key {
	__u8 saddr[16];
	__u8 daddr[16];
	__u16 sport;
	__u16 dport;
	__u8 proto;
	__u8 family;
	__u16 pad;
};

struct flow {
	__u64 packets;
	__u64 bytes;
	__u32 syns;
	enum reason last;
};

struct drop_event {
	enum reason reason;
	__u32 rule;
	__u32 length;
	__u16 dport;
	__u8 proto;
	__u8 family;
	__u8 saddr[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_v4);
	__type(value, struct rule);
} blocked_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_v6);
	__type(value, struct rule);
} blocked_v6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct port_key);
	__type(value, struct rule);
} blocked_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASON_MAX);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} drops SEC(".maps");

/* Set before loading: SYN packets that one flow may send; 0 = no limit. */
const volatile __u32 syn_limit = 0;

/* The parsed part of a packet. */
struct packet {
	struct flow_key key;
	__u32 length;
	__u32 rule;
	bool syn;
};

static __always_inline enum reason parse_ports(void *at, void *end, struct packet *p)
{
	if (p->key.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = at;

		if ((void *)(tcp + 1) > end)
			return DROP_MALFORMED;
		p->key.sport = bpf_ntohs(tcp->source);
		p->key.dport = bpf_ntohs(tcp->dest);
		p->syn = tcp->syn && !tcp->ack;
	} else if (p->key.proto == IPPROTO_UDP) {
		struct udphdr *udp = at;

		if ((void *)(udp + 1) > end)
			return DROP_MALFORMED;
		p->key.sport = bpf_ntohs(udp->source);
		p->key.dport = bpf_ntohs(udp->dest);
	}
	return PASS_OTHER;
}

static __noinline bool port_blocked(struct packet *p)
{
	if (!p)
		return false;
	struct port_key key = { .port = p->key.dport, .proto = p->key.proto };
	struct rule *rule = bpf_map_lookup_elem(&blocked_ports, &key);

	if (!rule)
		return false;
	__sync_fetch_and_add(&rule->hits, 1);
	p->rule = rule->id;
	return true;
}

static __always_inline enum reason filter_v4(void *at, void *end, struct packet *p)
{
	struct iphdr *ip = at;

	if ((void *)(ip + 1) > end || ip->ihl < 5)
		return DROP_MALFORMED;
	struct prefix_v4 key = { .prefixlen = 32 };

	__builtin_memcpy(key.addr, &ip->saddr, 4);
	__builtin_memcpy(p->key.saddr, &ip->saddr, 4);
	__builtin_memcpy(p->key.daddr, &ip->daddr, 4);
	p->key.proto = ip->protocol;
	p->key.family = 4;

	struct rule *rule = bpf_map_lookup_elem(&blocked_v4, &key);

	if (rule) {
		__sync_fetch_and_add(&rule->hits, 1);
		p->rule = rule->id;
		return DROP_PREFIX;
	}
	if (ip->frag_off & bpf_htons(IP_OFFSET_MASK))
		return DROP_FRAGMENT;
	if (parse_ports(at + ip->ihl * 4, end, p) == DROP_MALFORMED)
		return DROP_MALFORMED;
	return PASS_IPV4;
}

static __always_inline enum reason filter_v6(void *at, void *end, struct packet *p)
{
	struct ipv6hdr *ip = at;

	if ((void *)(ip + 1) > end)
		return DROP_MALFORMED;
	struct prefix_v6 key = { .prefixlen = 128 };

	__builtin_memcpy(key.addr, &ip->saddr, 16);
	__builtin_memcpy(p->key.saddr, &ip->saddr, 16);
	__builtin_memcpy(p->key.daddr, &ip->daddr, 16);
	p->key.proto = ip->nexthdr;
	p->key.family = 6;

	struct rule *rule = bpf_map_lookup_elem(&blocked_v6, &key);

	if (rule) {
		__sync_fetch_and_add(&rule->hits, 1);
		p->rule = rule->id;
		return DROP_PREFIX;
	}
	if (parse_ports(ip + 1, end, p) == DROP_MALFORMED)
		return DROP_MALFORMED;
	return PASS_IPV6;
}

static __always_inline enum reason track(struct packet *p, enum reason reason)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &p->key);

	if (!flow) {
		struct flow fresh = {};

		bpf_map_update_elem(&flows, &p->key, &fresh, BPF_NOEXIST);
		flow = bpf_map_lookup_elem(&flows, &p->key);
		if (!flow)
			return reason;
	}
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, p->length);
	if (p->syn) {
		flow->syns++;
		if (syn_limit && flow->syns > syn_limit)
			reason = DROP_RATE;
	}
	flow->last = reason;
	return reason;
}

static __always_inline enum reason classify(void *data, void *end, struct packet *p)
{
	struct ethhdr *eth = data;
	void *at = eth + 1;
	enum reason reason;

	if (at > end)
		return DROP_MALFORMED;
	__be16 proto = eth->h_proto;

	for (int i = 0; i < VLAN_DEPTH; i++) {
		struct vlan_header *vlan = at;

		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(vlan + 1) > end)
			return DROP_MALFORMED;
		proto = vlan->proto;
		at = vlan + 1;
	}
	if (proto == bpf_htons(ETH_P_ARP))
		return PASS_ARP;
	if (proto == bpf_htons(ETH_P_IP))
		reason = filter_v4(at, end, p);
	else if (proto == bpf_htons(ETH_P_IPV6))
		reason = filter_v6(at, end, p);
	else
		return PASS_OTHER;
	if (reason != PASS_IPV4 && reason != PASS_IPV6)
		return reason;
	if (port_blocked(p))
		reason = DROP_PORT;
	return track(p, reason);
}

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct packet p = { .length = end - data };
	enum reason reason = classify(data, end, &p);
	__u32 slot = reason;
	struct counter *counter = bpf_map_lookup_elem(&counters, &slot);

	if (counter) {
		counter->packets++;
		counter->bytes += p.length;
	}
	if (reason < DROP_MALFORMED)
		return XDP_PASS;

	struct drop_event *event = bpf_ringbuf_reserve(&drops, sizeof(*event), 0);

	if (event) {
		event->reason = reason;
		event->rule = p.rule;
		event->length = p.length;
		event->dport = p.key.dport;
		event->proto = p.key.proto;
		event->family = p.key.family;
		__builtin_memcpy(event->saddr, p.key.saddr, 16);
		bpf_ringbuf_submit(event, 0);
	}
	return XDP_DROP;
}

/* Keeps the type of the ring buffer's records in BTF. */
const struct drop_event *unused_drop_event __attribute__((unused));

char _license[] SEC("license") = "Dual MIT/GPL";

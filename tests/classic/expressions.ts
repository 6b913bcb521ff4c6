/** Filter expressions of pcap-filter(7), generated: primitives of every family, joined by and, or, not. */
import { HOSTS4, HOSTS6, MACS, PORTS, VLANS } from "./captures.ts";
import type { Random } from "./random.ts";

const direction = (random: Random): string =>
  random.pick(["", "", "", "src ", "dst ", "src or dst ", "src and dst "]);
const relation = (random: Random): string => random.pick(["=", "=", "!=", "<", ">", "<=", ">="]);
const number = (random: Random): string => {
  const value = random.pick([
    0, 1, 2, 5, 6, 17, 20, 60, 64, 100, 128, 255, 1024, 0x8000, 65535, 0x7fffffff, 0xffffffff,
  ]);
  return random.chance(50) ? String(value) : `0x${value.toString(16)}`;
};

/** A byte, half or word of a packet, e.g. `tcp[12:2]`; sometimes at a computed place. */
function access(random: Random, depth: number): string {
  const protocol = random.pick(["ip", "ip", "ip6", "tcp", "udp", "icmp", "ether", "link", "arp"]);
  const at =
    depth > 0 && random.chance(20)
      ? random.chance(30)
        ? `${number(random)} - ${access(random, depth - 1)}`
        : `${access(random, depth - 1)} & 0x${random.pick(["f", "1f", "3"])}`
      : String(random.pick([0, 1, 2, 4, 6, 8, 9, 12, 13, 16, 20, 33]));
  return `${protocol}[${at}${random.pick(["", "", ":2", ":4", ":1"])}]`;
}

function value(random: Random, depth: number): string {
  if (depth === 0 || random.chance(35))
    return random.chance(70) ? access(random, depth) : random.pick([number(random), "len"]);
  const operator = random.pick(["+", "-", "*", "/", "%", "&", "&", "&", "|", "^", "<<", ">>"]);
  const right = operator === "<<" || operator === ">>" ? String(random.below(40)) : value(random, depth - 1);
  return `(${value(random, depth - 1)} ${operator} ${random.chance(60) ? number(random) : right})`;
}

function host(random: Random): string {
  const address = random.pick([...HOSTS4, ...HOSTS4, ...HOSTS6]);
  const families = address.includes(":") ? ["", "ip6 "] : ["", "", "ip ", "arp "];
  return `${random.pick(families)}${direction(random)}host ${address}`;
}

function net(random: Random): string {
  const where = direction(random);
  const text = random.pick([
    "10.0.0.0/8",
    "10.0.0.0/30",
    "10.1.0.0 mask 255.255.0.0",
    "192.168.1",
    "192.168.1.64/26",
    "172.16",
    "224.0.0.0/4",
    "0.0.0.0/0",
    "2001:db8::/32",
    "2001:db8::/127",
    "fe80::/10",
    "ff00::/8",
  ]);
  return `${where}net ${text}`;
}

function port(random: Random): string {
  const transport = random.pick(["", "", "tcp ", "udp ", "sctp "]);
  if (random.chance(30)) {
    const from = random.pick(PORTS);
    return `${transport}${direction(random)}portrange ${from}-${Math.min(65535, from + random.pick([0, 5, 1000]))}`;
  }
  return `${transport}${direction(random)}port ${random.pick(PORTS)}`;
}

function flags(random: Random): string {
  const names = ["tcp-syn", "tcp-ack", "tcp-fin", "tcp-rst", "tcp-push", "tcp-urg", "tcp-ece", "tcp-cwr"];
  const one = random.pick(names);
  const two = `(${one}|${random.pick(names)})`;
  return random.pick([
    `tcp[tcpflags] & ${one} != 0`,
    `tcp[tcpflags] & ${two} == ${one}`,
    `tcp[tcpflags] == ${one}`,
    `tcp[13] & ${two} ${relation(random)} ${random.below(40)}`,
    "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420",
    "icmp[icmptype] == icmp-echo or icmp[icmptype] = icmp-echoreply",
    "icmp[icmpcode] > 1",
    "icmp6[icmp6type] = icmp6-neighborsolicit",
    "udp[10] & 0x80 = 0 and udp dst port 53",
    "ip[6:2] & 0x1fff != 0",
    "ip[6] & 0x20 = 0x20",
    "ip[0] & 0xf > 5",
    "ip[2:2] - ((ip[0] & 0xf) << 2) - ((tcp[12] & 0xf0) >> 2) > 0",
  ]);
}

function link(random: Random): string {
  return random.pick([
    `ether host ${random.pick(MACS)}`,
    `ether src ${random.pick(MACS)}`,
    `ether dst ${random.pick(MACS)}`,
    "ether broadcast",
    "ether multicast",
    "ether[0] & 1 = 0 and ip[16] >= 224",
    `ether proto ${random.pick(["\\ip", "\\ip6", "\\arp", "0x88cc", "0x9000", "0x8100"])}`,
    "vlan",
    `vlan ${random.pick(VLANS)}`,
    `vlan ${random.pick(VLANS)} and ${primitive(random)}`,
    `vlan and vlan ${random.pick(VLANS)}`,
    "mpls",
    "mpls 16",
    "mpls 1024 and ip",
    "stp",
    "pppoed",
    "inbound",
    "outbound",
  ]);
}

function length(random: Random): string {
  return random.pick([
    `less ${random.pick([60, 64, 100, 128])}`,
    `greater ${random.pick([60, 64, 100, 300])}`,
    `len ${relation(random)} ${random.below(300)}`,
    `len % ${1 + random.below(5)} = ${random.below(3)}`,
    `len / ip[8] ${relation(random)} ${random.below(60)}`,
    `(1 << (ip[1] >> 2)) ${relation(random)} ${random.below(60)}`,
  ]);
}

function protocol(random: Random): string {
  return random.pick([
    ...["ip", "ip6", "arp", "rarp", "tcp", "udp", "icmp", "icmp6", "igmp", "sctp", "esp", "ah", "vrrp"],
    ...[
      "ip multicast",
      "ip6 multicast",
      "ip proto 6",
      "ip proto \\udp",
      "ip6 proto 17",
      "proto 47",
      "ip6 proto 44",
    ],
    ...["ip proto 132", "not ip", "ip proto \\igmp or ip proto 89"],
  ]);
}

function primitive(random: Random): string {
  const kind = random.below(100);
  if (kind < 16) return host(random);
  if (kind < 27) return net(random);
  if (kind < 43) return port(random);
  if (kind < 55) return protocol(random);
  if (kind < 67) return flags(random);
  if (kind < 77) return link(random);
  if (kind < 86) return length(random);
  return `${value(random, 2)} ${relation(random)} ${random.chance(70) ? number(random) : value(random, 1)}`;
}

export function expression(random: Random, depth = 2): string {
  if (depth === 0 || random.chance(35)) return primitive(random);
  const left = expression(random, depth - 1);
  const right = expression(random, depth - 1);
  switch (random.below(5)) {
    case 0:
      return `not (${left})`;
    case 1:
      return `(${left}) or ${right}`;
    case 2:
      return `${left} or (${right})`;
    default:
      return `(${left}) and (${right})`;
  }
}

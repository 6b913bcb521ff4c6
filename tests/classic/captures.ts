/**
 * Three small captures with what filters look at: Ethernet (VLAN tags, MPLS, ARP, LLC), raw IP, and Linux cooked. IPv4
 * with options and fragments, IPv6 with extension headers, TCP flags and options, UDP, DNS, ICMP, and cut packets.
 * Packet i carries the timestamp of i seconds, which names it.
 */
import {
  LINKTYPE_ETHERNET,
  LINKTYPE_LINUX_SLL,
  LINKTYPE_RAW,
  type PacketToWrite,
  writeCapture,
} from "../../src/pcap/index.ts";
import { Random } from "./random.ts";

export const HOSTS4: readonly string[] = [
  "10.0.0.1",
  "10.0.0.2",
  "10.1.2.3",
  "192.168.1.1",
  "192.168.1.77",
  "172.16.5.5",
  "224.0.0.251",
  "255.255.255.255",
];
export const HOSTS6: readonly string[] = [
  "2001:db8::1",
  "2001:db8::2",
  "2001:db8:1::5",
  "fe80::1",
  "ff02::1",
];
export const MACS: readonly string[] = [
  "02:00:00:00:00:01",
  "02:00:00:00:00:02",
  "52:54:00:12:34:56",
  "01:00:5e:00:00:fb",
  "33:33:00:00:00:01",
  "ff:ff:ff:ff:ff:ff",
];
export const PORTS: readonly number[] = [20, 22, 53, 80, 123, 443, 6000, 6005, 8080, 33434, 65535];
export const VLANS: readonly number[] = [1, 5, 100, 4094];

const be16 = (value: number): number[] => [(value >> 8) & 0xff, value & 0xff];
const be32 = (value: number): number[] => [...be16(value >>> 16), ...be16(value)];
const ip4 = (text: string): number[] => text.split(".").map(Number);
const mac = (text: string): number[] => text.split(":").map((part) => Number.parseInt(part, 16));
function ip6(text: string): number[] {
  const [head, tail = ""] = text.split("::");
  const words = (part: string): number[] =>
    part ? part.split(":").map((word) => Number.parseInt(word, 16)) : [];
  const [left, right] = [words(head!), words(tail)];
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right].flatMap(be16);
}

interface Payload {
  readonly protocol: number;
  readonly bytes: number[];
}

function transport(random: Random, v6: boolean): Payload {
  const port = (): number => (random.chance(80) ? random.pick(PORTS) : random.below(65536));
  const data = random.bytes(random.pick([0, 0, 1, 8, 40, 200]));
  switch (random.below(10)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      const options = random.bytes(4 * random.pick([0, 0, 0, 1, 3, 10]));
      const flags = random.pick([0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x29, 0x00, 0xc2, 0x3f]);
      const text = random.chance(30) ? [...new TextEncoder().encode("GET / HTTP/1.1\r\n")] : data;
      return {
        protocol: 6,
        bytes: [
          ...[...be16(port()), ...be16(port()), ...random.bytes(8), (5 + options.length / 4) << 4, flags],
          ...[...be16(random.below(65536)), ...random.bytes(2), ...be16(0), ...options, ...text],
        ],
      };
    }
    case 4:
    case 5:
    case 6: {
      const dns = random.chance(40);
      const body = dns
        ? [
            ...random.bytes(2),
            random.pick([1, 0x81]),
            random.pick([0, 0x80, 3]),
            0,
            1,
            0,
            random.below(3),
            0,
            0,
            0,
            0,
          ]
        : data;
      const ports = dns ? [port(), 53] : [port(), port()];
      if (random.chance(50)) ports.reverse();
      return {
        protocol: 17,
        bytes: [...ports.flatMap(be16), ...be16(8 + body.length), ...random.bytes(2), ...body],
      };
    }
    case 7:
    case 8:
      return {
        protocol: v6 ? 58 : 1,
        bytes: [
          random.pick(v6 ? [128, 129, 135, 136, 1, 3] : [0, 8, 3, 11, 5]),
          random.below(5),
          ...random.bytes(2),
          ...random.bytes(4),
          ...data,
        ],
      };
    default: {
      const protocol = random.pick([2, 47, 50, 51, 89, 103, 112, 132]);
      const sctp = [...be16(port()), ...be16(port())];
      return {
        protocol,
        bytes: [...(protocol === 132 ? sctp : random.bytes(4)), ...random.bytes(8), ...data],
      };
    }
  }
}

function ipv4(random: Random): number[] {
  const { protocol, bytes } = transport(random, false);
  const options = random.chance(20) ? random.bytes(4 * (1 + random.below(10))) : [];
  const fragment = random.chance(15)
    ? random.pick([0x2000, 0x2005, 0x00b9, 0x1fff])
    : random.pick([0, 0x4000]);
  const length = 20 + options.length + bytes.length;
  return [
    ...[0x45 + options.length / 4, random.pick([0, 0, 0x10, 0xb8])],
    ...[...be16(length), ...be16(random.below(65536)), ...be16(fragment)],
    ...[random.pick([1, 2, 63, 64, 128, 255]), protocol, ...random.bytes(2)],
    ...[...ip4(random.pick(HOSTS4)), ...ip4(random.pick(HOSTS4)), ...options, ...bytes],
  ];
}

function ipv6(random: Random): number[] {
  const { protocol, bytes } = transport(random, true);
  let next = protocol;
  let body = bytes;
  if (random.chance(30))
    for (const type of [random.pick([43, 44, 60]), ...(random.chance(40) ? [0] : [])]) {
      const header =
        type === 44
          ? [next, 0, ...be16(random.pick([0, 1, 0x0528])), ...random.bytes(4)]
          : [next, 0, 1, 4, 0, 0, 0, 0];
      body = [...header, ...body];
      next = type;
    }
  return [
    ...be32(0x60000000 | (random.below(256) << 20) | random.below(0x100000)),
    ...[...be16(body.length), next, random.pick([1, 64, 255])],
    ...[...ip6(random.pick(HOSTS6)), ...ip6(random.pick(HOSTS6)), ...body],
  ];
}

function arp(random: Random): number[] {
  return [
    ...[...be16(1), ...be16(0x0800), 6, 4, ...be16(random.pick([1, 2]))],
    ...[...mac(random.pick(MACS)), ...ip4(random.pick(HOSTS4))],
    ...[...mac(random.pick(MACS)), ...ip4(random.pick(HOSTS4))],
  ];
}

/** Ethertype and what follows it. */
function network(random: Random): [number, number[]] {
  const kind = random.below(100);
  if (kind < 55) return [0x0800, ipv4(random)];
  if (kind < 85) return [0x86dd, ipv6(random)];
  if (kind < 93) return [random.pick([0x0806, 0x0806, 0x8035]), arp(random)];
  return [random.pick([0x88cc, 0x9000, 0x8863]), random.bytes(46)];
}

function ethernet(random: Random): number[] {
  const addresses = [...mac(random.pick(MACS)), ...mac(random.pick(MACS))];
  if (random.chance(4))
    return [
      ...addresses,
      ...be16(38),
      ...random.pick([
        [0x42, 0x42, 3],
        [0xfe, 0xfe, 3],
        [0xaa, 0xaa, 3],
      ]),
      ...random.bytes(35),
    ];
  const [type, body] = network(random);
  const vlan = (): number[] => be16((random.below(8) << 13) | random.pick(VLANS));
  if (random.chance(25)) {
    const inner = [...vlan(), ...be16(type), ...body];
    const outer = random.chance(25) ? [...vlan(), ...be16(0x8100), ...inner] : inner;
    return [...addresses, ...be16(random.pick([0x8100, 0x8100, 0x88a8, 0x9100])), ...outer];
  }
  if (random.chance(6))
    return [...addresses, ...be16(0x8847), ...be32((random.pick([16, 1024]) << 12) | 0x140), ...body];
  return [...addresses, ...be16(type), ...body];
}

function rawIp(random: Random): number[] {
  return random.chance(65) ? ipv4(random) : ipv6(random);
}

function linuxCooked(random: Random): number[] {
  const [type, body] = network(random);
  return [
    ...be16(random.below(5)),
    ...be16(1),
    ...be16(6),
    ...mac(random.pick(MACS)),
    0,
    0,
    ...be16(type),
    ...body,
  ];
}

export interface NamedCapture {
  readonly name: string;
  readonly linkType: number;
  readonly bytes: Uint8Array;
}

export function makeCaptures(packets: number): NamedCapture[] {
  const kinds: [string, number, (random: Random) => number[]][] = [
    ["ethernet", LINKTYPE_ETHERNET, ethernet],
    ["raw", LINKTYPE_RAW, rawIp],
    ["cooked", LINKTYPE_LINUX_SLL, linuxCooked],
  ];
  return kinds.map(([name, linkType, make], kind) => {
    const random = new Random(1000 + kind);
    const rows: PacketToWrite[] = [];
    for (let i = 0; i < packets; i++) {
      const whole = Uint8Array.from(make(random));
      const data = random.chance(12)
        ? whole.subarray(0, 1 + random.below(Math.min(whole.length, 80)))
        : whole;
      rows.push({ seconds: i, nanoseconds: 0, data, originalLength: whole.length });
    }
    return { name, linkType, bytes: writeCapture(rows, { linkType }) };
  });
}

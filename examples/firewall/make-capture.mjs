// Writes capture.pcap: 2,000 packets of a small office's uplink, the same on every machine (seeded).
// Clients browse and resolve names over IPv4, IPv6 and VLANs; someone scans telnet, someone floods SYNs, a bogon range
// leaks in, a few packets are cut short or fragmented.
//
//   node examples/firewall/make-capture.mjs
import { writeFileSync } from "node:fs";

let seed = 0x7ab5f;
const random = (n) => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * n);
};
const pick = (list) => list[random(list.length)];

const u8 = (...bytes) => Uint8Array.from(bytes);
const be16 = (v) => u8((v >>> 8) & 255, v & 255);
const be32 = (v) => u8((v >>> 24) & 255, (v >>> 16) & 255, (v >>> 8) & 255, v & 255);
const join = (...parts) => {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
};
const sum16 = (bytes, start = 0) => {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
};
const checksum = (bytes, start) => ~sum16(bytes, start) & 0xffff;

const ROUTER = u8(2, 0, 0, 0, 0, 1);
const host = (n) => u8(2, 0, 0, 1, n >> 8, n & 255);
const ethernet = (dst, src, type, payload) => join(dst, src, be16(type), payload);
const vlan = (id, frame) => join(frame.subarray(0, 12), be16(0x8100), be16(id), frame.subarray(12));

const ipv4 = (src, dst, proto, payload, fragment = 0) => {
  const h = join(
    u8(0x45, 0),
    be16(20 + payload.length),
    be16(random(65536)),
    be16(fragment),
    u8(64, proto, 0, 0),
    u8(...src),
    u8(...dst),
  );
  h.set(be16(checksum(h)), 10);
  return join(h, payload);
};
const ipv6 = (src, dst, next, payload) =>
  join(u8(0x60, 0, 0, 0), be16(payload.length), u8(next, 64), src, dst, payload);
const pseudo = (src, dst, proto, length) => sum16(join(u8(...src), u8(...dst), be16(proto), be16(length)));

const tcp = (src, dst, sport, dport, flags, payload = u8()) => {
  const h = join(
    be16(sport),
    be16(dport),
    be32(random(2 ** 31)),
    be32(flags & 0x10 ? random(2 ** 31) : 0),
    u8(0x50, flags),
    be16(64240),
    be16(0),
    be16(0),
    payload,
  );
  h.set(be16(checksum(h, pseudo(src, dst, 6, h.length))), 16);
  return h;
};
const udp = (src, dst, sport, dport, payload) => {
  const h = join(be16(sport), be16(dport), be16(8 + payload.length), be16(0), payload);
  h.set(be16(checksum(h, pseudo(src, dst, 17, h.length)) || 0xffff), 6);
  return h;
};
const icmpEcho = (n) => {
  const h = join(u8(8, 0), be16(0), be16(7), be16(n), new Uint8Array(24).fill(0x61));
  h.set(be16(checksum(h)), 2);
  return h;
};
const dnsQuery = (name) =>
  join(
    be16(random(65536)),
    be16(0x100),
    be16(1),
    be16(0),
    be16(0),
    be16(0),
    ...name.split(".").map((l) => join(u8(l.length), new TextEncoder().encode(l))),
    u8(0),
    be16(1),
    be16(1),
  );
const text = (s) => new TextEncoder().encode(s);
const v6 = (net, n) => join(u8(0x20, 0x01, 0x0d, 0xb8), be16(net), new Uint8Array(8), be16(n));

const SYN = 0x02;
const ACK = 0x10;
const PSH_ACK = 0x18;
const names = ["kernel.org", "ebpf.io", "example.com", "debian.org"];

function packet(i) {
  const n = random(24);
  const client = [10, 0, 0, 10 + n];
  const server = pick([
    [93, 184, 216, 34],
    [151, 101, 2, 132],
    [198, 51, 100, 7],
  ]);
  const sport = 40000 + random(64);
  const frame = (payload, type = 0x0800) => ethernet(ROUTER, host(n), type, payload);
  const roll = random(100);
  if (roll < 34)
    return frame(
      ipv4(
        client,
        server,
        6,
        tcp(
          client,
          server,
          sport,
          pick([80, 443]),
          pick([ACK, PSH_ACK]),
          text("GET / HTTP/1.1\r\n".repeat(random(4))),
        ),
      ),
    );
  if (roll < 40) return frame(ipv4(client, server, 6, tcp(client, server, sport, 443, SYN)));
  if (roll < 52)
    return frame(
      ipv4(client, [10, 0, 0, 2], 17, udp(client, [10, 0, 0, 2], sport, 53, dnsQuery(pick(names)))),
    );
  if (roll < 56) return frame(ipv4(client, server, 1, icmpEcho(i)));
  if (roll < 59)
    return ethernet(
      u8(255, 255, 255, 255, 255, 255),
      host(n),
      0x0806,
      join(
        be16(1),
        be16(0x800),
        u8(6, 4),
        be16(1),
        host(n),
        u8(...client),
        new Uint8Array(6),
        u8(10, 0, 0, 1),
        new Uint8Array(18),
      ),
    );
  if (roll < 69) {
    const [a, b] = [v6(1, n), v6(0xff, 7)];
    return frame(ipv6(a, b, 6, tcp(a, b, sport, 443, PSH_ACK, text("hello"))), 0x86dd);
  }
  if (roll < 72) {
    const [a, b] = [v6(0xbad, n), v6(1, 1)];
    return frame(ipv6(a, b, 17, udp(a, b, sport, 53, dnsQuery(pick(names)))), 0x86dd);
  }
  if (roll < 80)
    return vlan(
      100 + random(3),
      frame(ipv4(client, server, 17, udp(client, server, sport, 443, new Uint8Array(32).fill(i & 255)))),
    );
  if (roll < 86) {
    const scanner = [203, 0, 113, 5];
    return frame(
      ipv4(scanner, client, 6, tcp(scanner, client, 51000 + random(8), pick([23, 2323, 22]), SYN)),
    );
  }
  if (roll < 90) {
    const bogon = [192, 0, 2, random(256)];
    return frame(ipv4(bogon, client, 17, udp(bogon, client, sport, 1900, text("M-SEARCH"))));
  }
  if (roll < 95) {
    const flooder = [198, 18, 0, 9];
    return frame(ipv4(flooder, [10, 0, 0, 10], 6, tcp(flooder, [10, 0, 0, 10], 6000, 80, SYN)));
  }
  if (roll < 97)
    return frame(ipv4(client, server, 17, new Uint8Array(48).fill(0x66), 0x2000 | random(100) | 1));
  if (roll < 98) return frame(u8(0x88, 0xcc, 2, 7), 0x88cc);
  const whole = frame(ipv4(client, server, 6, tcp(client, server, sport, 443, SYN)));
  return whole.subarray(0, 14 + random(39));
}

const header = new DataView(new ArrayBuffer(24));
header.setUint32(0, 0xa1b2c3d4, true);
header.setUint16(4, 2, true);
header.setUint16(6, 4, true);
header.setUint32(16, 262144, true);
header.setUint32(20, 1, true);
const parts = [new Uint8Array(header.buffer)];
let micros = 0;
for (let i = 0; i < 2000; i++) {
  const data = packet(i);
  micros += 20 + random(900);
  const record = new DataView(new ArrayBuffer(16));
  record.setUint32(0, 1_767_225_600 + Math.floor(micros / 1e6), true);
  record.setUint32(4, micros % 1e6, true);
  record.setUint32(8, data.length, true);
  record.setUint32(12, data.length, true);
  parts.push(new Uint8Array(record.buffer), data);
}
writeFileSync(new URL("capture.pcap", import.meta.url), join(...parts));

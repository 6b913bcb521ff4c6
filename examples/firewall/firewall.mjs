// The firewall over a capture, on the embedded kernel. No Node in here: the same file runs in a browser.
import { BpfObject, Kernel, readCapture } from "tsbpf";

const REASONS = [
  "pass: other",
  "pass: arp",
  "pass: ipv4",
  "pass: ipv6",
  "drop: malformed",
  "drop: fragment",
  "drop: prefix",
  "drop: port",
  "drop: rate",
];
const XDP_VERDICTS = ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"];

/**
 * Loads the object, fills its tables, runs every packet once to count and `rounds` times more to measure.
 * Returns plain data: packets by verdict, rows of each map, drop events, nanoseconds per packet.
 */
export function runFirewall(
  objectBytes,
  captureBytes,
  { rounds = 50, engine = "jit", unchecked = false } = {},
) {
  const kernel = new Kernel({ engine, unchecked, seed: 1 });
  const object = BpfObject.open(objectBytes, { name: "firewall" });
  object.globals.set("syn_limit", 20);
  const live = object.load(kernel);
  const { maps } = live;
  maps.blocked_v4.update({ prefixlen: 24, addr: [192, 0, 2, 0] }, { id: 1, hits: 0 });
  maps.blocked_v6.update(
    { prefixlen: 48, addr: [0x20, 0x01, 0x0d, 0xb8, 0x0b, 0xad, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] },
    { id: 2, hits: 0 },
  );
  maps.blocked_ports.update({ port: 23, proto: 6, pad: 0 }, { id: 3, hits: 0 });
  maps.blocked_ports.update({ port: 2323, proto: 6, pad: 0 }, { id: 4, hits: 0 });

  const packets = [...readCapture(captureBytes)].map((p) => p.data);
  const runner = kernel.openPacketRunner(live.programs.firewall.fd);
  const verdicts = {};
  for (const packet of packets) {
    const name = packet.length < runner.minPacket ? "too short" : XDP_VERDICTS[runner.run(packet)];
    verdicts[name] = (verdicts[name] ?? 0) + 1;
  }
  const events = [];
  live.ringBuffer("drops", "drop_event").consume((event) => events.push(event));

  const counters = [...maps.counters.entries()].map(([reason, perCpu]) => ({
    reason: REASONS[reason],
    packets: perCpu.reduce((n, c) => n + c.packets, 0n),
    bytes: perCpu.reduce((n, c) => n + c.bytes, 0n),
  }));
  const rows = (map) => [...map.entries()].map(([key, value]) => ({ key, value }));
  const tables = {
    blocked_v4: rows(maps.blocked_v4),
    blocked_v6: rows(maps.blocked_v6),
    blocked_ports: rows(maps.blocked_ports),
    flows: rows(maps.flows),
  };

  // Measured afterwards, so that what is printed above does not depend on how often.
  const frames = packets.filter((p) => p.length >= runner.minPacket);
  const times = [];
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    for (const frame of frames) runner.run(frame);
    times.push(((performance.now() - start) * 1e6) / frames.length);
    live.ringBuffer("drops").consume(() => {});
  }
  times.sort((a, b) => a - b);
  runner.close();
  live.close();
  return {
    packets: packets.length,
    verdicts,
    counters,
    events,
    tables,
    nsPerPacket: times[times.length >> 1] ?? 0,
  };
}

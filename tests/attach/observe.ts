// What both kernels are compared by: which packets went on, and what the maps hold afterwards.
import { readFileSync } from "node:fs";
import type { Backend } from "../../src/backend/index.ts";
import { BpfObject, type LiveMap, type LoadedObject } from "../../src/loader/index.ts";
import { readCapture } from "../../src/pcap/index.ts";

const example = (name: string): Uint8Array =>
  readFileSync(new URL(`../../examples/firewall/${name}`, import.meta.url));

/** What goes over the wire: the packets of the README's capture, and some UDP to ports odd and even. */
export function frames(): Uint8Array[] {
  return [...readCapture(example("capture.pcap"))].map((packet) => packet.data);
}

export function loadFirewall(backend: Backend): LoadedObject {
  const object = BpfObject.open(example("firewall.bpf.o"), { name: "firewall" });
  object.globals.set("syn_limit", 20);
  const live = object.load(backend);
  live.maps["blocked_v4"]!.update({ prefixlen: 24, addr: [192, 0, 2, 0] }, { id: 1, hits: 0 });
  live.maps["blocked_ports"]!.update({ port: 23, proto: 6, pad: 0 }, { id: 3, hits: 0 });
  return live;
}

/** Entries as hexadecimal text, sorted; a per-CPU value as the sum of its 64-bit words. */
export function rows(map: LiveMap, possibleCpus: number, perCpu = false): string[] {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  return [...map.entriesRaw()]
    .map(([key, value]) => {
      if (!perCpu) return `${hex(key)} ${hex(value)}`;
      const words = new BigUint64Array(value.slice().buffer);
      const each = words.length / possibleCpus;
      const sums = Array.from({ length: each }, (_, i) => {
        let sum = 0n;
        for (let cpu = 0; cpu < possibleCpus; cpu++) sum += words[cpu * each + i]!;
        return sum;
      });
      return `${hex(key)} ${sums.join(",")}`;
    })
    .sort();
}

export function firewallMaps(live: LoadedObject): Record<string, string[]> {
  const { maps, backend } = live;
  const plain = ["blocked_v4", "blocked_v6", "blocked_ports", "flows"];
  return {
    ...Object.fromEntries(plain.map((name) => [name, rows(maps[name]!, 1)])),
    counters: rows(maps["counters"]!, backend.possibleCpus, true),
  };
}

/** What one scenario saw. */
export interface Observed {
  /** Packets or datagrams that came through, as hexadecimal text, in order. */
  readonly passed: readonly string[];
  readonly maps: Readonly<Record<string, readonly string[]>>;
  /** Events of the firewall's ring buffer. */
  readonly events?: number;
}

export interface AttachReport {
  readonly xdp: Observed;
  readonly tc: Observed;
  /** The first filter alone, by netlink; then, with it taken off again, nothing. */
  readonly netlink: Observed;
  readonly udp: Observed;
  readonly lookup: Observed;
}

/** What the receiving end's packet socket shows: the outer VLAN tag is taken off before. */
export function asSeen(frame: Uint8Array): string {
  const tag = (frame[12]! << 8) | frame[13]!;
  const untagged =
    (tag === 0x8100 || tag === 0x88a8) && frame.length >= 18
      ? Uint8Array.from([...frame.subarray(0, 12), ...frame.subarray(16)])
      : frame;
  return Buffer.from(untagged).toString("hex");
}

export const UDP_PORTS: readonly number[] = [4000, 4001, 4002, 4003];

/** Datagrams of the socket filter's scenario. */
export function datagrams(): Uint8Array[] {
  return Array.from({ length: 60 }, (_, i) => {
    const data = new Uint8Array(1 + (i % 20));
    data.fill(i);
    data[0] = i % 7;
    return data;
  });
}

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { want } from "../../tests/support/need.ts";
import { CaptureError } from "../diag/index.ts";
import { type CapturedPacket, CaptureReader, readCapture, timestampNs, writeCapture } from "./index.ts";

/** Numbers to bytes: [width, value] pairs, raw arrays as they are. */
function pack(little: boolean, ...fields: ([2 | 4 | 8, number | bigint] | Uint8Array)[]): Uint8Array {
  const parts = fields.map((field) => {
    if (field instanceof Uint8Array) return field;
    const [width, value] = field;
    const view = new DataView(new ArrayBuffer(width));
    if (width === 8) view.setBigUint64(0, BigInt.asUintN(64, BigInt(value)), little);
    else if (width === 4) view.setUint32(0, Number(value) >>> 0, little);
    else view.setUint16(0, Number(value), little);
    return new Uint8Array(view.buffer);
  });
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function pcap(little: boolean, magic: number, records: Uint8Array[], linkType = 1): Uint8Array {
  return pack(
    little,
    ...([
      [4, magic],
      [2, 2],
      [2, 4],
      [4, 0],
      [4, 0],
      [4, 65535],
      [4, linkType],
    ] as [2 | 4, number][]),
    ...records,
  );
}

function record(
  little: boolean,
  sec: number,
  frac: number,
  data: number[],
  length = data.length,
): Uint8Array {
  return pack(little, [4, sec], [4, frac], [4, data.length], [4, length], Uint8Array.from(data));
}

function block(little: boolean, type: number, ...body: Parameters<typeof pack>[1][]): Uint8Array {
  const inner = pack(little, ...body);
  const padded = new Uint8Array(Math.ceil(inner.length / 4) * 4);
  padded.set(inner);
  return pack(little, [4, type], [4, padded.length + 12], padded, [4, padded.length + 12]);
}
const section = (little: boolean): Uint8Array =>
  block(little, 0x0a0d0d0a, [4, 0x1a2b3c4d], [2, 1], [2, 0], [8, -1]);
const iface = (little: boolean, linkType: number, snap: number, ...options: Uint8Array[]): Uint8Array =>
  block(little, 1, [2, linkType], [2, 0], [4, snap], ...options);
const option = (little: boolean, code: number, ...value: number[]): Uint8Array => {
  const padded = new Uint8Array(Math.ceil(value.length / 4) * 4);
  padded.set(value);
  return pack(little, [2, code], [2, value.length], padded);
};
function enhanced(
  little: boolean,
  id: number,
  ticks: bigint,
  data: number[],
  length = data.length,
): Uint8Array {
  return block(
    little,
    6,
    [4, id],
    [4, Number(ticks >> 32n)],
    [4, Number(ticks & 0xffffffffn)],
    [4, data.length],
    [4, length],
    Uint8Array.from(data),
  );
}

const joined = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));
const plain = (packets: Iterable<CapturedPacket>): unknown[] =>
  [...packets].map((p) => [timestampNs(p), [...p.data], p.originalLength, p.linkType, p.interfaceId]);

const pcapng = (little: boolean): Uint8Array =>
  joined(
    section(little),
    iface(little, 1, 0),
    iface(
      little,
      113,
      4,
      option(little, 9, 9),
      option(little, 14, ...pack(little, [8, 100])),
      option(little, 0),
    ),
    enhanced(little, 0, 1_700_000_000_123_456n, [1, 2, 3], 60),
    block(little, 5, [4, 0], [4, 1], [4, 2]),
    enhanced(little, 1, 1_700_000_000_123_456_789n, [9]),
    block(little, 3, [4, 2], Uint8Array.of(7, 8)),
    block(little, 2, [2, 1], [2, 0], [4, 0], [4, 5], [4, 1], [4, 1], Uint8Array.of(4)),
    section(!little),
    iface(!little, 101, 0, option(!little, 9, 0x80 | 10)),
    enhanced(!little, 0, 1024n * 3n + 512n, [5]),
  );
const PCAPNG_PACKETS = [
  [1_700_000_000_123_456_000n, [1, 2, 3], 60, 1, 0],
  [1_700_000_100_123_456_789n, [9], 1, 113, 1],
  [0n, [7, 8], 2, 1, 0],
  [100_000_000_005n, [4], 1, 113, 1],
  [3_500_000_000n, [5], 1, 101, 0],
];

describe("reading", () => {
  it.each([true, false])("pcap, little-endian %s", (little) => {
    const records = [record(little, 1_700_000_000, 999_999, [1, 2], 90), record(little, 5, 0, [])];
    expect(plain(readCapture(pcap(little, 0xa1b2c3d4, records)))).toEqual([
      [1_700_000_000_999_999_000n, [1, 2], 90, 1, 0],
      [5_000_000_000n, [], 0, 1, 0],
    ]);
    expect(plain(readCapture(pcap(little, 0xa1b23c4d, records, 0x0400_0065)))[0]).toEqual([
      1_700_000_000_000_999_999n,
      [1, 2],
      90,
      101,
      0,
    ]);
    const wide = joined(
      record(little, 1, 2, []),
      new Uint8Array(8),
      record(little, 3, 4, []),
      new Uint8Array(8),
    );
    expect(plain(readCapture(pcap(little, 0xa1b2cd34, [wide])))).toHaveLength(2);
  });

  it.each([true, false])("pcapng, little-endian %s", (little) => {
    expect(plain(readCapture(pcapng(little)))).toEqual(PCAPNG_PACKETS);
  });

  it("pcapng's other clocks", () => {
    const at = (resolution: number, ticks: bigint): bigint => {
      const [packet] = readCapture(
        joined(section(true), iface(true, 1, 0, option(true, 9, resolution)), enhanced(true, 0, ticks, [])),
      );
      return timestampNs(packet!);
    };
    expect(at(0, 7n)).toBe(7_000_000_000n);
    expect(at(3, 1_700_000_000_001n)).toBe(1_700_000_000_001_000_000n);
    expect(at(12, 1_700_000_000_123_456_789n)).toBe(1_700_000_000_123_456n);
    expect(at(0x80 | 20, (1_700_000_000n << 20n) | (1n << 19n))).toBe(1_700_000_000_500_000_000n);
    expect(at(0x80 | 63, 1n << 62n)).toBe(500_000_000n);
    expect(at(0x7f, 1n << 62n)).toBe(0n);
  });

  it("gives views, not copies", () => {
    const bytes = pcap(true, 0xa1b2c3d4, [record(true, 1, 0, [1, 2, 3])]);
    const [packet] = readCapture(bytes);
    expect(packet!.data.buffer).toBe(bytes.buffer);
  });

  it.each([1, 3, 16, 29, 1000])("chunks of %i bytes give the same packets", (size) => {
    for (const file of [pcapng(true), pcap(false, 0xa1b2c3d4, [record(false, 1, 2, [1, 2, 3])])]) {
      const reader = new CaptureReader();
      const packets: CapturedPacket[] = [];
      const drain = (): void => {
        for (let packet = reader.read(); packet !== undefined; packet = reader.read()) packets.push(packet);
      };
      for (let at = 0; at < file.length; at += size) {
        reader.push(file.slice(at, at + size));
        drain();
      }
      reader.end();
      drain();
      expect(plain(packets)).toEqual(plain(readCapture(file)));
      expect(reader.offset).toBe(file.length);
    }
  });
});

describe("broken files", () => {
  const le = (...fields: Parameters<typeof pack>[1][]): Uint8Array => pack(true, ...fields);
  it.each<[string, Uint8Array, RegExp, number?]>([
    ["empty", new Uint8Array(0), /the file is empty \(offset 0x0\)/],
    ["short magic", Uint8Array.of(0xa1, 0xb2), /ends inside the magic number: 4 bytes needed, 2 left/],
    [
      "other file",
      new TextEncoder().encode("hello"),
      /neither pcap nor pcapng: the file starts with 68656c6c/,
    ],
    ["short header", pcap(true, 0xa1b2c3d4, []).slice(0, 20), /ends inside the pcap header/],
    [
      "version",
      le([4, 0xa1b2c3d4], [2, 9], [2, 0], [8, 0], [8, 0]),
      /pcap version 9 is unknown \(offset 0x4\)/,
    ],
    [
      "short record header",
      pcap(true, 0xa1b2c3d4, [new Uint8Array(3)]),
      /inside a packet's header: 16 bytes needed, 3 left \(offset 0x18\)/,
    ],
    [
      "short record",
      pcap(true, 0xa1b2c3d4, [record(true, 1, 1, [1, 2, 3]).slice(0, 18)]),
      /inside a packet: 19 bytes needed, 18 left \(offset 0x18\)/,
    ],
    [
      "packet after the first",
      pcap(true, 0xa1b2c3d4, [record(true, 1, 1, [1]), new Uint8Array(2)]),
      /offset 0x29/,
      1,
    ],
    [
      "4 GB packet",
      pcap(true, 0xa1b2c3d4, [le([8, 0], [4, -1], [4, 0])]),
      /claims 4294967295 captured bytes \(offset 0x20\)/,
    ],
    [
      "no byte-order magic",
      block(true, 0x0a0d0d0a, [4, 1], [2, 1], [2, 0], [8, -1]),
      /lacks the byte-order magic \(offset 0x8\)/,
    ],
    ["pcapng version", block(true, 0x0a0d0d0a, [4, 0x1a2b3c4d], [2, 2], [2, 0], [8, -1]), /pcapng version 2/],
    [
      "block length 0",
      joined(section(true), le([4, 5], [4, 0], [4, 0])),
      /a block claims 0 bytes \(offset 0x20\)/,
    ],
    [
      "block length not a multiple of 4",
      joined(section(true), le([4, 5], [4, 13], [4, 0], [4, 0])),
      /claims 13 bytes/,
    ],
    ["4 GB block", joined(section(true), le([4, 5], [4, 0xfffffffc], [4, 0])), /claims 4294967292 bytes/],
    [
      "other trailer",
      joined(section(true), le([4, 5], [4, 12], [4, 16])),
      /12 bytes ends with the length 16/,
    ],
    [
      "cut block",
      joined(section(true), le([4, 5], [4, 64], [4, 16])),
      /ends inside a block: 64 bytes needed, 12 left/,
    ],
    [
      "no interface",
      joined(section(true), enhanced(true, 0, 1n, [1])),
      /names interface 0, the section describes 0/,
    ],
    [
      "interface of another section",
      joined(section(true), iface(true, 1, 0), section(true), enhanced(true, 0, 1n, [])),
      /names interface 0/,
    ],
    [
      "packet beyond its block",
      joined(section(true), iface(true, 1, 0), block(true, 6, [8, 0], [4, 0], [4, 9], [4, 9])),
      /9 captured bytes runs beyond/,
    ],
    [
      "short packet block",
      joined(section(true), iface(true, 1, 0), block(true, 6, [8, 0])),
      /packet block is too short/,
    ],
    ["short interface", joined(section(true), block(true, 1, [4, 1])), /interface description is too short/],
    [
      "option beyond its block",
      joined(section(true), iface(true, 1, 0, le([2, 9], [2, 100]))),
      /option 9 of 100 bytes runs beyond/,
    ],
    [
      "simple packet beyond its block",
      joined(section(true), iface(true, 1, 0), block(true, 3, [4, 99])),
      /99 captured bytes runs beyond/,
    ],
  ])("%s", (_, bytes, message, before = 0) => {
    const packets: CapturedPacket[] = [];
    const read = (): void => {
      for (const packet of readCapture(bytes)) packets.push(packet);
    };
    expect(read).toThrow(message);
    expect(read).toThrow(CaptureError);
    expect(packets).toHaveLength(before * 2);
  });

  it("mutations give packets or a CaptureError", () => {
    const seeds = [pcapng(true), pcapng(false), pcap(true, 0xa1b2c3d4, [record(true, 1, 1, [1, 2, 3, 4])])];
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds),
        fc.array(fc.tuple(fc.nat(400), fc.oneof(fc.nat(255), fc.constantFrom(0, 255, 128))), {
          maxLength: 6,
        }),
        fc.nat(400),
        (seed, changes, length) => {
          const bytes = seed.slice(0, length < 300 ? seed.length : length - 300);
          for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
          let total = 0;
          try {
            for (const packet of readCapture(bytes)) total += packet.data.length;
          } catch (error) {
            if (!(error instanceof CaptureError)) throw error;
            expect(error.offset).toBeLessThanOrEqual(bytes.length);
          }
          expect(total).toBeLessThanOrEqual(bytes.length);
        },
      ),
      { numRuns: 5000, seed: 3 },
    );
  });
});

describe("writing", () => {
  const packets = [
    { seconds: 1_700_000_000, nanoseconds: 123_456_789, data: Uint8Array.of(1, 2, 3), originalLength: 99 },
    { seconds: 2, nanoseconds: 0, data: new Uint8Array(0) },
  ];
  it.each([
    [true, 123_456_789n],
    [false, 123_456_000n],
  ])("pcap, nanoseconds %s", (nanoseconds, fraction) => {
    expect(plain(readCapture(writeCapture(packets, { linkType: 113, nanoseconds })))).toEqual([
      [1_700_000_000_000_000_000n + fraction, [1, 2, 3], 99, 113, 0],
      [2_000_000_000n, [], 0, 113, 0],
    ]);
  });
});

const tcpdump = want("tcpdump");
describe.skipIf(tcpdump.skip)(tcpdump.title("tcpdump"), () => {
  it("reads what we write, and reads pcapng as we do", () => {
    const dir = mkdtempSync(join(tmpdir(), "tsbpf-pcap-"));
    try {
      const little = true;
      const files = {
        "a.pcap": writeCapture(
          [{ seconds: 7, nanoseconds: 1000, data: new Uint8Array(60), originalLength: 80 }],
          {
            linkType: 1,
          },
        ),
        "b.pcapng": joined(
          section(little),
          iface(little, 1, 0),
          enhanced(little, 0, 1_700_000_000_123_456n, [...new Uint8Array(20)], 60),
          enhanced(little, 0, 1_700_000_001_000_001n, [...new Uint8Array(14)]),
        ),
      };
      for (const [name, bytes] of Object.entries(files)) {
        writeFileSync(join(dir, name), bytes);
        const again = execFileSync("tcpdump", ["-r", join(dir, name), "-w", "-"], {
          stdio: ["ignore", "pipe", "ignore"],
        });
        expect(plain(readCapture(new Uint8Array(again)))).toEqual(plain(readCapture(bytes)));
      }
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { progTag, sha256 } from "./tag.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("program tag", () => {
  it("digests every padding length as SHA-256 does", () => {
    for (const length of [0, 1, 8, 55, 56, 63, 64, 65, 119, 120, 1000, 65536]) {
      const data = Uint8Array.from({ length }, (_, i) => (i * 7) & 0xff);
      expect(hex(sha256(data))).toBe(createHash("sha256").update(data).digest("hex"));
    }
  });

  it("is what Linux 6.18 gives `r0 = 0; exit`", () => {
    expect(progTag(Uint8Array.from([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]))).toBe(
      "59f4a931744dcdc6",
    );
  });

  it("does not depend on map fds, and does on plain constants", () => {
    const load = (src: number, imm: number): Uint8Array =>
      Uint8Array.from([
        0x18,
        (src << 4) | 1,
        0,
        0,
        imm,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        imm,
        0,
        0,
        0,
        0x95,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
      ]);
    expect(progTag(load(1, 4))).toBe(progTag(load(1, 9)));
    expect(progTag(load(2, 4))).toBe(progTag(load(2, 9)));
    expect(progTag(load(0, 4))).not.toBe(progTag(load(0, 9)));
  });
});

/** The core without Node: bundled for a browser it imports no node: module, and the firewall gives the same answer in Chromium. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { build } from "tsdown";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { want } from "../support/need.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const firewall = (name: string): string => join(ROOT, "examples/firewall", name);

/** What both sides compare: everything the run found, with 64-bit integers as text, without the timing. */
const summary = (result: object): string =>
  JSON.stringify({ ...result, nsPerPacket: undefined }, (_, v) => (typeof v === "bigint" ? String(v) : v));

let out: string;
let bundle: string;

beforeAll(async () => {
  out = mkdtempSync(join(tmpdir(), "tsbpf-browser-"));
  await build({
    entry: { firewall: firewall("firewall.mjs") },
    outDir: out,
    platform: "browser",
    format: "esm",
    dts: false,
    deps: { alwaysBundle: [/^tsbpf/] },
    alias: { tsbpf: join(ROOT, "src/index.ts") },
    config: false,
    logLevel: "error",
  });
  bundle = readFileSync(join(out, "firewall.js"), "utf8");
});
afterAll(() => rmSync(out, { recursive: true, force: true }));

describe("the bundle for a browser", () => {
  it("holds no import at all, neither node: nor another package", () => {
    expect(bundle.length).toBeGreaterThan(50_000);
    expect(bundle.match(/\bnode:\w+/g) ?? []).toEqual([]);
    expect(bundle.match(/^import\b.*$/gm) ?? []).toEqual([]);
    expect(bundle.match(/\bimport\s*\(\s*["'].*$/gm) ?? []).toEqual([]);
    expect(bundle.match(/^export\b.*\bfrom\b.*$/gm) ?? []).toEqual([]);
    expect(bundle).not.toMatch(/\brequire\(/);
  });
});

const chrome = want("chromium");
describe.skipIf(chrome.skip)(chrome.title("headless Chromium"), () => {
  it("runs the firewall over the capture as Node does", async () => {
    const files: Record<string, readonly [type: string, body: Uint8Array | string]> = {
      "/": ["text/html", "<!doctype html><title>tsbpf</title>"],
      "/firewall.js": ["text/javascript", bundle],
      "/firewall.bpf.o": ["application/octet-stream", readFileSync(firewall("firewall.bpf.o"))],
      "/capture.pcap": ["application/octet-stream", readFileSync(firewall("capture.pcap"))],
    };
    const server = createServer((request, response) => {
      const file = files[request.url ?? "/"];
      response.writeHead(file ? 200 : 404, { "content-type": file?.[0] ?? "text/plain" });
      response.end(file?.[1]);
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const browser = await chromium.launch({
      executablePath: "/usr/bin/chromium",
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
      ],
    });
    try {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      const inBrowser = (await page.evaluate(`(async () => {
        const { runFirewall } = await import("/firewall.js");
        const load = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
        return (${summary})(runFirewall(await load("firewall.bpf.o"), await load("capture.pcap"), { rounds: 1 }));
      })()`)) as string;
      const { runFirewall } = (await import(join(out, "firewall.js"))) as {
        runFirewall(object: Uint8Array, capture: Uint8Array, options: object): { verdicts: object };
      };
      const inNode = runFirewall(
        readFileSync(firewall("firewall.bpf.o")),
        readFileSync(firewall("capture.pcap")),
        { rounds: 1 },
      );
      expect(inNode.verdicts).toEqual({ XDP_PASS: 1635, XDP_DROP: 365 });
      expect(inBrowser).toBe(summary(inNode));
    } finally {
      await browser.close();
      await new Promise((closed) => server.close(closed));
    }
  }, 120_000);
});

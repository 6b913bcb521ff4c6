// The same packets through attached programs on the real kernel, in namespaces of its own, and through the embedded one.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { Kernel } from "../../src/kernel/index.ts";
import { BpfObject, type LoadedObject } from "../../src/loader/index.ts";
import { XDP_PASS } from "../../src/uapi/index.ts";
import { want } from "../support/need.ts";
import { compilePrograms } from "./compile.ts";
import {
  type AttachReport,
  asSeen,
  datagrams,
  firewallMaps,
  frames,
  loadFirewall,
  rows,
  UDP_PORTS,
} from "./observe.ts";

const TC_ACT_UNSPEC = 0xffffffff;

const live = want("bpf", "unshare", "iproute2", "clang-19", "gcc");

describe.skipIf(live.skip)(live.title("attached programs"), () => {
  let linux: AttachReport;
  let object: Uint8Array;
  const load = (): LoadedObject => BpfObject.open(object).load(new Kernel());

  beforeAll(() => {
    object = compilePrograms();
    const script = fileURLToPath(new URL("run.ts", import.meta.url));
    const text = execFileSync(
      "unshare",
      ["-n", "-m", "--propagation", "private", process.execPath, "--import", "tsx", script],
      { encoding: "utf8", maxBuffer: 1 << 28 },
    );
    linux = JSON.parse(text) as AttachReport;
  });

  it("XDP: the firewall passes the same packets and counts the same", () => {
    const kernel = new Kernel();
    using firewall = loadFirewall(kernel);
    const runner = kernel.openPacketRunner(firewall.programs["firewall"]!.fd);
    if (typeof runner === "number") throw new Error(`runner: ${runner}`);
    const passed = frames().filter((frame) => runner.run(frame) === XDP_PASS);
    runner.close();
    expect(passed.length).toBeGreaterThan(1000);
    expect(linux.xdp.passed).toEqual(passed.map(asSeen));
    expect(linux.xdp.maps).toEqual(firewallMaps(firewall));
    expect(linux.xdp.events).toBe(frames().length - passed.length);
  });

  it("tc: two filters in a row count the same, and the first drops", () => {
    using o = load();
    const { fd } = o.programs["tc_filter"]!;
    const runner = (o.backend as Kernel).openPacketRunner(fd);
    if (typeof runner === "number") throw new Error(`runner: ${runner}`);
    const second = (o.backend as Kernel).openPacketRunner(o.programs["tc_after"]!.fd);
    if (typeof second === "number") throw new Error(`runner: ${second}`);
    // The receiving kernel takes the outer VLAN tag off before tc.
    for (const frame of frames().map((f) => Uint8Array.from(Buffer.from(asSeen(f), "hex"))))
      if (runner.run(frame) === TC_ACT_UNSPEC) second.run(frame);
    runner.close();
    second.close();
    expect(linux.tc.maps).toEqual({ by_protocol: rows(o.maps["by_protocol"]!, 1) });
  });

  it("tc without tcx: a filter made by netlink counts the same, until it is taken off", () => {
    using o = load();
    const runner = (o.backend as Kernel).openPacketRunner(o.programs["tc_filter"]!.fd);
    if (typeof runner === "number") throw new Error(`runner: ${runner}`);
    for (const frame of frames()) runner.run(Uint8Array.from(Buffer.from(asSeen(frame), "hex")));
    runner.close();
    expect(linux.netlink.maps).toEqual({ by_protocol: rows(o.maps["by_protocol"]!, 1) });
  });

  it("a socket filter on a UDP socket drops, cuts and passes the same datagrams", () => {
    using o = load();
    const runner = (o.backend as Kernel).openFilterRunner(o.programs["udp_filter"]!.fd);
    if (typeof runner === "number") throw new Error(`runner: ${runner}`);
    const passed: string[] = [];
    for (const data of datagrams()) {
      const packet = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, ...data]);
      const keep = runner.run(packet);
      if (keep > 0) passed.push(Buffer.from(packet.subarray(8, keep)).toString("hex"));
    }
    runner.close();
    expect(linux.udp.passed).toEqual(passed);
    expect(linux.udp.maps).toEqual({ by_first_byte: rows(o.maps["by_first_byte"]!, 1) });
  });

  it("sk_lookup lets the same datagrams find their socket", () => {
    using o = load();
    const passed: string[] = [];
    for (const port of UDP_PORTS)
      for (let i = 0; i < 3; i++) {
        const ctx_in = new Uint8Array(72);
        const view = new DataView(ctx_in.buffer);
        // AF_INET, IPPROTO_UDP, and the port.
        view.setUint32(8, 2, true);
        view.setUint32(12, 17, true);
        view.setUint32(60, port, true);
        const { err, retval } = o.programs["gate"]!.testRun({ ctx_in });
        expect(err).toBe(0);
        if (retval === 1) passed.push(`${port} ${Buffer.of(i).toString("hex")}`);
      }
    expect(linux.lookup.passed).toEqual(passed.sort());
    expect(linux.lookup.maps).toEqual({ by_port: rows(o.maps["by_port"]!, 1) });
  });
});

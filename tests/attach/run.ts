// The real kernel's half of the attach tests, in namespaces of its own (`unshare -n -m`): prints an AttachReport.
//   run.ts
import { execFileSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { LinuxBackend } from "../../src/linux/index.ts";
import { openSyscalls } from "../../src/linux/syscall.ts";
import { BpfObject } from "../../src/loader/index.ts";
import { compilePrograms } from "./compile.ts";
import {
  type AttachReport,
  datagrams,
  firewallMaps,
  loadFirewall,
  type Observed,
  rows,
  UDP_PORTS,
} from "./observe.ts";

const ETH_P_ALL_BE = 0x0300;
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const PEER = "peer";

const ip = (...args: string[]): string => execFileSync("ip", args, { encoding: "utf8" });
const i32 = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer);

function makeWire(): { own: number; peer: number } {
  // `ip netns` keeps its names in /run, of which this mount namespace gets one of its own.
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", "/run"]);
  ip("netns", "add", PEER);
  ip("link", "add", "own0", "type", "veth", "peer", "name", "peer0", "netns", PEER);
  // Nothing but the test's packets goes over the wire.
  const quiet = "for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $f; done";
  execFileSync("sh", ["-c", quiet]);
  ip("netns", "exec", PEER, "sh", "-c", quiet);
  ip("link", "set", "lo", "up");
  ip("link", "set", "own0", "up", "arp", "off", "promisc", "on");
  ip("-n", PEER, "link", "set", "peer0", "up", "arp", "off");
  const index = (...args: string[]): number =>
    (JSON.parse(ip("-j", ...args)) as [{ ifindex: number }])[0].ifindex;
  return { own: index("link", "show", "own0"), peer: index("-n", PEER, "link", "show", "peer0") };
}

const sys = await openSyscalls();
const linux = await LinuxBackend.open();
const wire = makeWire();
const programs = compilePrograms();

/** Everything that arrives at `own0` behind the hooks, while the peer sends the capture. */
function receive(): string[] {
  const fd = sys.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, ETH_P_ALL_BE);
  sys.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, i32(64 << 20));
  sys.setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, i32(1));
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, ETH_P_ALL_BE, true);
  view.setInt32(4, wire.own, true);
  const bound = sys.bind(fd, address);
  if (fd < 0 || bound < 0) throw new Error(`packet socket: ${fd} ${bound}`);
  const send = fileURLToPath(new URL("send.ts", import.meta.url));
  ip("netns", "exec", PEER, process.execPath, "--import", "tsx", send, String(wire.peer));
  const seen: string[] = [];
  const buffer = new Uint8Array(4096);
  for (let n = sys.read(fd, buffer); n > 0; n = sys.read(fd, buffer))
    seen.push(Buffer.from(buffer.subarray(0, n)).toString("hex"));
  sys.close(fd);
  return seen;
}

function xdp(): Observed {
  using live = loadFirewall(linux);
  using _link = live.programs["firewall"]!.attach({ target: wire.own });
  const passed = receive();
  return { passed, maps: firewallMaps(live), events: live.ringBuffer("drops").consume(() => {}) };
}

function tc(): Observed {
  using live = load("tc_filter", "tc_after");
  using _first = live.programs["tc_filter"]!.attach({ target: wire.own });
  using _second = live.programs["tc_after"]!.attach({ target: wire.own });
  // A packet socket listens before tc, so the second program tells what the first one let go on.
  receive();
  return { passed: [], maps: { by_protocol: rows(live.maps["by_protocol"]!, 1) } };
}

function netlink(): Observed {
  using live = load("tc_filter");
  const { fd } = live.programs["tc_filter"]!;
  const off = linux.tcAttach(fd, wire.own, "ingress");
  if (typeof off === "number") throw new Error(`tc: ${off}`);
  receive();
  off();
  // Nothing is counted any more.
  receive();
  return { passed: [], maps: { by_protocol: rows(live.maps["by_protocol"]!, 1) } };
}

function load(...programs_: string[]): ReturnType<BpfObject["load"]> {
  const object = BpfObject.open(programs);
  for (const spec of object.programList) spec.autoload = programs_.includes(spec.name);
  return object.load(linux);
}

function socket(port: number): Promise<Socket> {
  const s = createSocket("udp4");
  return new Promise((resolve) => s.bind(port, "127.0.0.1", () => resolve(s)));
}

const send = (from: Socket, data: Uint8Array, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    from.send(data, port, "127.0.0.1", (error) => (error ? reject(error) : resolve()));
  });

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 200));

async function udp(): Promise<Observed> {
  using live = load("udp_filter");
  const [receiver, sender] = [await socket(4100), await socket(4101)];
  const passed: string[] = [];
  receiver.on("message", (message) => passed.push(message.toString("hex")));
  const { fd } = (receiver as unknown as { _handle: { fd: number } })._handle;
  const attached = linux.attachSocket(fd, live.programs["udp_filter"]!.fd);
  if (attached < 0) throw new Error(`SO_ATTACH_BPF: ${attached}`);
  for (const data of datagrams()) await send(sender, data, 4100);
  await settle();
  linux.detachSocket(fd);
  receiver.close();
  sender.close();
  return { passed, maps: { by_first_byte: rows(live.maps["by_first_byte"]!, 1) } };
}

async function lookup(): Promise<Observed> {
  using live = load("gate");
  const netns = openSync("/proc/self/ns/net", "r");
  using _link = live.programs["gate"]!.attach({ target: netns });
  const sender = await socket(4200);
  const receivers = await Promise.all(UDP_PORTS.map(socket));
  const passed: string[] = [];
  receivers.forEach((receiver, i) => {
    receiver.on("message", (message) => passed.push(`${UDP_PORTS[i]} ${message.toString("hex")}`));
  });
  for (const port of UDP_PORTS) for (let i = 0; i < 3; i++) await send(sender, Uint8Array.of(i), port);
  await settle();
  for (const s of [sender, ...receivers]) s.close();
  return { passed: passed.sort(), maps: { by_port: rows(live.maps["by_port"]!, 1) } };
}

const report: AttachReport = {
  xdp: xdp(),
  tc: tc(),
  netlink: netlink(),
  udp: await udp(),
  lookup: await lookup(),
};
process.stdout.write(JSON.stringify(report));

// Sends the frames out of a device, from the network namespace it runs in.   send.ts DEVICE_IFINDEX
import { openSyscalls } from "../../src/linux/syscall.ts";
import { frames } from "./observe.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const EAGAIN = -11;
const ENOBUFS = -105;

const sys = await openSyscalls();
const fd = sys.socket(AF_PACKET, SOCK_RAW, 0);
// struct sockaddr_ll { u16 family; be16 protocol; i32 ifindex; ... }
const address = new Uint8Array(20);
const view = new DataView(address.buffer);
view.setUint16(0, AF_PACKET, true);
view.setInt32(4, Number(process.argv[2]), true);
const bound = sys.bind(fd, address);
if (fd < 0 || bound < 0) throw new Error(`packet socket: ${fd} ${bound}`);
for (const frame of frames()) {
  let n = sys.write(fd, frame);
  while (n === EAGAIN || n === ENOBUFS) n = sys.write(fd, frame);
  if (n !== frame.length) throw new Error(`sent ${n} of ${frame.length}`);
}
sys.close(fd);

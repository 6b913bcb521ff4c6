// A small notation for programs with their input: assembly, packets as words, contexts as members.
import { assemble } from "../../src/asm/index.ts";
import type { Backend, ProgLoadAttr, TestRunAttr } from "../../src/backend/index.ts";
import * as uapi from "../../src/uapi/index.ts";

/** Bytes of a hex string; spaces are for the reader. */
export function bytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.replaceAll(/\s/g, "").match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

const ETH = "000000000000 020000000001";
/** IPv4/UDP, 60 bytes. */
export const IPV4: Uint8Array = bytes(
  `${ETH} 0800 4500002e12340000 4011 5a6f 0a000001 0a000002 1f90 0035 001a beef ${"ab".repeat(18)}`,
);
/** IPv6/TCP, 74 bytes. */
export const IPV6: Uint8Array = bytes(
  `${ETH} 86dd 60000000 0014 0640 ${"fe80".padEnd(31, "0")}1 ${"fe80".padEnd(31, "0")}2
   01bb c000 00000001 00000000 5002 2000 0000 0000`,
);
/** A tag on IPv4. */
export const VLAN: Uint8Array = Uint8Array.from([
  ...IPV4.subarray(0, 12),
  0x81,
  0,
  0x20,
  0x64,
  ...IPV4.subarray(12),
]);
export const ARP: Uint8Array = bytes(`ffffffffffff 020000000001 0806 0001 0800 0604 0001 ${"11".repeat(20)}`);

/** A block of `size` bytes with u32 members set. */
export function block(size: number, members: Readonly<Record<number, number>>): Uint8Array {
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  for (const [offset, value] of Object.entries(members)) view.setUint32(Number(offset), value, true);
  return out;
}

/** struct __sk_buff and struct xdp_md by member. */
export const skb = (members: Readonly<Record<number, number>>): Uint8Array => block(192, members);
export const md = (data: number, end: number, members: Readonly<Record<number, number>> = {}): Uint8Array =>
  block(24, { 0: data, 4: end, ...members });

const HELPER_IDS = new Map(uapi.HELPER_PROTOS.map((proto) => [proto.name, proto.id]));

/** `call bpf_x` by name, `%map` for a map's fd. */
export function insnsOf(text: string, maps: Readonly<Record<string, number>> = {}): Uint8Array {
  const named = text
    .replaceAll(/call (bpf_\w+)/g, (_, name: string) => `call ${HELPER_IDS.get(name)}`)
    .replaceAll(/%(\w+)/g, (_, name: string) => `${maps[name]}`);
  return assemble(named).bytes;
}

export interface Case extends TestRunAttr {
  readonly name: string;
  readonly type: number;
  readonly text: string;
  readonly attach?: number;
  readonly flags_?: number;
}

/** What both kernels must agree on: the outcome, and after a failure nothing but the errno. */
export function outcome(backend: Backend, c: Case): unknown {
  const { name, type, text, attach, flags_, ...attr } = c;
  const load: ProgLoadAttr = {
    prog_type: type,
    insns: insnsOf(text),
    license: "GPL",
    expected_attach_type: attach ?? 0,
    prog_flags: flags_ ?? 0,
    log_level: 1,
    log_size: 1 << 20,
  };
  const loaded = backend.progLoad(load);
  if (loaded.fd < 0)
    throw new Error(`${backend.name}: ${name}: PROG_LOAD ${uapi.errnoName(loaded.fd)}\n${loaded.log}`);
  try {
    const ctx = attr.ctx_in?.slice();
    const result = backend.progTestRun(loaded.fd, { ...attr, ...(ctx ? { ctx_in: ctx } : {}) });
    if (result.err !== 0 && result.err !== -uapi.ENOSPC) return uapi.errnoName(result.err);
    return {
      err: result.err,
      retval: result.retval | 0,
      data: Buffer.from(result.data_out).toString("hex"),
      dataSize: result.data_size_out,
      ctx: Buffer.from(result.ctx_out).toString("hex"),
      ctxIn: ctx && Buffer.from(ctx).toString("hex"),
    };
  } finally {
    backend.close(loaded.fd);
  }
}

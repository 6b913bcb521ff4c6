// BPF_LINK_CREATE's attribute: one layout for each kind of link.
import type { LinkCreateAttr } from "../backend/index.ts";
import { LINK_CREATE } from "./attr.ts";
import type { FieldValue, StructLayout } from "./struct.ts";

interface Packed {
  readonly layout: StructLayout;
  readonly values: Readonly<Record<string, FieldValue>>;
}

const u64s = (values: readonly bigint[]): Uint8Array =>
  new Uint8Array(BigUint64Array.from(values, (v) => BigInt.asUintN(64, v)).buffer);

/** `pin` gives the address of a buffer and keeps it alive until the command is done. */
export function packLink(attr: LinkCreateAttr, pin: (bytes: Uint8Array) => bigint): Packed {
  const head = {
    prog_fd: attr.prog_fd,
    target_fd: attr.target_fd,
    attach_type: attr.attach_type,
    flags: attr.flags,
  };
  const cString = (text: string): bigint => pin(new TextEncoder().encode(`${text}\0`));
  const optional = (values: readonly bigint[] | undefined): bigint | undefined =>
    values === undefined ? undefined : pin(u64s(values));
  const { iter_info: iter, perf_event: perf, tracing, netfilter: nf } = attr;
  const { kprobe_multi: kmulti, uprobe_multi: umulti } = attr;
  const position = attr.tcx ?? attr.netkit ?? attr.cgroup;
  if (iter !== undefined)
    return {
      layout: LINK_CREATE.iter,
      values: { ...head, iter_info: pin(iter), iter_info_len: iter.length },
    };
  if (perf !== undefined)
    return { layout: LINK_CREATE.perf_event, values: { ...head, bpf_cookie: perf.bpf_cookie } };
  if (tracing !== undefined) return { layout: LINK_CREATE.tracing, values: { ...head, ...tracing } };
  if (nf !== undefined)
    return {
      layout: LINK_CREATE.netfilter,
      values: { ...head, pf: nf.pf, hooknum: nf.hooknum, priority: nf.priority, nf_flags: nf.flags },
    };
  if (position !== undefined) return { layout: LINK_CREATE.position, values: { ...head, ...position } };
  if (kmulti !== undefined)
    return {
      layout: LINK_CREATE.kprobe_multi,
      values: {
        ...head,
        multi_flags: kmulti.flags,
        cnt: kmulti.syms?.length ?? kmulti.addrs?.length ?? 0,
        syms: kmulti.syms === undefined ? undefined : pin(u64s(kmulti.syms.map(cString))),
        addrs: optional(kmulti.addrs),
        cookies: optional(kmulti.cookies),
      },
    };
  if (umulti !== undefined)
    return {
      layout: LINK_CREATE.uprobe_multi,
      values: {
        ...head,
        path: cString(umulti.path),
        offsets: pin(u64s(umulti.offsets)),
        ref_ctr_offsets: optional(umulti.ref_ctr_offsets),
        cookies: optional(umulti.cookies),
        cnt: umulti.offsets.length,
        multi_flags: umulti.flags,
        pid: umulti.pid,
      },
    };
  return { layout: LINK_CREATE.target_btf_id, values: { ...head, target_btf_id: attr.target_btf_id } };
}

/**
 * Fields of kernel objects that programs may write directly (btf_struct_access of the program type or the struct_ops):
 * a table by who asks.
 */

import {
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_XDP,
  EACCES,
} from "../../uapi/index.ts";
import { findStruct, membersOf, sizeOf } from "../btf/btf-types.ts";
import type { Env } from "../env.ts";
import type { RegState } from "../state/reg.ts";

interface StructWrites {
  /** The only struct that may be written to, and another name for it. */
  readonly target: string;
  readonly alias?: string;
  /** Members, by path from a struct that `target` begins with; empty: all of it. */
  readonly fields: readonly (readonly [string, string])[];
  /** Message for another struct, and for another member (with its offset behind), null: none. */
  readonly otherStruct: string | null;
  readonly otherField: string | null;
  /** Any offset inside the member, not just its start. */
  readonly inside: readonly string[];
}

const NF_CONN: StructWrites = {
  target: "nf_conn",
  alias: "nf_conn___init",
  fields: [["nf_conn", "mark"]],
  otherStruct: null,
  otherField: "no write support to nf_conn at off",
  inside: [],
};

const BY_PROG_TYPE: ReadonlyMap<number, StructWrites> = new Map([
  [BPF_PROG_TYPE_SCHED_CLS, NF_CONN],
  [BPF_PROG_TYPE_SCHED_ACT, NF_CONN],
  [BPF_PROG_TYPE_XDP, NF_CONN],
]);

const BY_STRUCT_OPS: Readonly<Record<string, StructWrites>> = {
  tcp_congestion_ops: {
    target: "tcp_sock",
    fields: [
      ["sock", "sk_pacing_rate"],
      ["sock", "sk_pacing_status"],
      ["inet_connection_sock", "icsk_ca_priv"],
      ["inet_connection_sock", "icsk_ack.pending"],
      ["tcp_sock", "snd_cwnd"],
      ["tcp_sock", "snd_cwnd_cnt"],
      ["tcp_sock", "snd_cwnd_stamp"],
      ["tcp_sock", "snd_ssthresh"],
      ["tcp_sock", "ecn_flags"],
      ["tcp_sock", "app_limited"],
    ],
    otherStruct: "only read is supported",
    otherField: "no write support to tcp_sock at off",
    inside: ["icsk_ca_priv"],
  },
  bpf_dummy_ops: {
    target: "bpf_dummy_ops_state",
    fields: [],
    otherStruct: "only access to bpf_dummy_ops_state is supported",
    otherField: null,
    inside: [],
  },
  sched_ext_ops: {
    target: "task_struct",
    fields: [
      ["task_struct", "scx.slice"],
      ["task_struct", "scx.dsq_vtime"],
      ["task_struct", "scx.disallow"],
    ],
    otherStruct: null,
    otherField: null,
    inside: ["scx.slice", "scx.dsq_vtime", "scx.disallow"],
  },
};

/** Name of the struct whose member a STRUCT_OPS program is, or "". */
export function structOpsName(env: Env): string {
  const { attach } = env.input;
  if (env.progType !== BPF_PROG_TYPE_STRUCT_OPS || attach === null || attach.btfId === 0) return "";
  return attach.btf.typeName(attach.btfId);
}

/** Offset and size of `struct.path`, anonymous members searched too. */
function memberAt(env: Env, struct: string, path: string): { off: number; size: number } | null {
  const btf = env.kernelBtf;
  let id = findStruct(btf, struct);
  if (btf === null || id === 0) return null;
  let off = 0;
  const find = (at: number, name: string): { off: number; type: number } | null => {
    for (const m of membersOf(btf, at)) {
      if (m.name === name) return { off: m.bitOffset >>> 3, type: m.type };
      if (m.name !== "") continue;
      const inner = find(btf.skipModifiers(m.type), name);
      if (inner !== null) return { off: inner.off + (m.bitOffset >>> 3), type: inner.type };
    }
    return null;
  };
  for (const name of path.split(".")) {
    const found = find(id, name);
    if (found === null) return null;
    off += found.off;
    id = btf.skipModifiers(found.type);
  }
  return { off, size: sizeOf(btf, id) };
}

/** Judges a write to a kernel object; false: nothing is known of such writes, so the usual rules hold. */
export function checkStructWrite(env: Env, reg: RegState, off: number, size: number): boolean {
  const rules = BY_STRUCT_OPS[structOpsName(env)] ?? BY_PROG_TYPE.get(env.resolvedProgType);
  if (rules === undefined || reg.btf === null) return false;
  const name = reg.btf.typeName(reg.btfId);
  if (name !== rules.target && name !== rules.alias) env.reject(EACCES, rules.otherStruct ?? "");
  if (rules.fields.length === 0) {
    if (off + size > sizeOf(reg.btf, reg.btfId))
      env.reject(EACCES, `write access at off ${off} with size ${size}`);
    return true;
  }
  for (const [struct, path] of rules.fields) {
    const member = memberAt(env, struct, path);
    if (member === null) continue;
    const end = member.off + member.size;
    if (rules.inside.includes(path) ? off < member.off || off >= end : off !== member.off) continue;
    if (off + size > end)
      env.reject(
        EACCES,
        `write access at off ${off} with size ${size} beyond the member of ${rules.target} ended at ${end}`,
      );
    return true;
  }
  return env.reject(EACCES, rules.otherField === null ? "" : `${rules.otherField} ${off}`);
}

import { describe, expect, test } from "vitest";
import {
  BPF_CGROUP_INET_SOCK_CREATE,
  BPF_CGROUP_INET4_BIND,
  BPF_CGROUP_INET4_CONNECT,
  BPF_LSM_CGROUP,
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
  BPF_PROG_TYPE_KPROBE,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_TRACING,
  BPF_PROG_TYPE_XDP,
  BPF_TRACE_FENTRY,
  BPF_TRACE_ITER,
  bpf_attach_type_names,
  CTX_ACCESS,
  CTX_POINTERS,
  HELPER_PROTOS,
  HELPERS_BY_PROG_TYPE,
  KF_ACQUIRE,
  KF_RET_NULL,
} from "../uapi/index.ts";
import { ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY, RET_PTR_TO_MAP_VALUE_OR_NULL } from "./calls/arg-type.ts";
import type { HelperUser, Profile } from "./profile.ts";
import { findProfile, PROFILE_NAMES } from "./profiles.ts";
import { PTR_TO_PACKET, SCALAR_VALUE } from "./state/reg-type.ts";

const root = (progType: number, expectedAttachType = 0, more: Partial<HelperUser> = {}): HelperUser => ({
  progType,
  expectedAttachType,
  sleepable: false,
  bpfCapable: true,
  perfmonCapable: true,
  ...more,
});
const id = (name: string): number => HELPER_PROTOS.findIndex((h) => h.name === name);
const names = (p: Profile, user: HelperUser): string[] =>
  HELPER_PROTOS.filter((h) => p.helper(h.id, user)).map((h) => h.name);

describe("helpers", () => {
  const p = findProfile("6.18")!;
  test("a prototype in the verifier's terms", () => {
    expect(p.helper(1, root(BPF_PROG_TYPE_XDP))).toMatchObject({
      name: "bpf_map_lookup_elem",
      ret: RET_PTR_TO_MAP_VALUE_OR_NULL,
      args: [ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY],
      pktAccess: true,
      gplOnly: false,
    });
  });

  test("every kernel's every table can be read", () => {
    for (const name of PROFILE_NAMES) {
      const profile = findProfile(name)!;
      for (const type of profile.programTypes)
        for (const h of HELPER_PROTOS)
          profile.helper(h.id, root(type, 0, { structOps: "tcp_congestion_ops" }));
      expect(profile.helperCount).toBeGreaterThan(200);
    }
  });

  test("6.18 has what its feature probe found, type by type", () => {
    for (const [type, ids] of Object.entries(HELPERS_BY_PROG_TYPE)) {
      // Not probed but derived: see gen-uapi.ts.
      if ([26, 27, 29].includes(Number(type))) continue;
      // The probe chose an attach type of its own for each program type.
      const attachTypes = Object.keys(bpf_attach_type_names).map(Number);
      const missing = ids
        .filter((i) => attachTypes.every((a) => !p.helper(i, root(Number(type), a))))
        .map((i) => HELPER_PROTOS[i]!.name);
      expect({ type, missing }).toEqual({ type, missing: [] });
      const probe = new Set(ids.map((i) => HELPER_PROTOS[i]!.name));
      const extra = names(p, root(Number(type))).filter((n) => !probe.has(n));
      expect({ type, extra }).toEqual({ type, extra: [] });
    }
  });

  test("what an attach type, a capability, sleepability, a hook or a target changes", () => {
    const bind = id("bpf_bind");
    expect(p.helper(bind, root(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT))).not.toBeNull();
    expect(p.helper(bind, root(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_BIND))).toBeNull();
    const printk = id("bpf_trace_printk");
    expect(p.helper(printk, root(BPF_PROG_TYPE_SOCKET_FILTER))).not.toBeNull();
    expect(p.helper(printk, root(BPF_PROG_TYPE_SOCKET_FILTER, 0, { perfmonCapable: false }))).toBeNull();
    const loop = id("bpf_loop");
    expect(p.helper(loop, root(BPF_PROG_TYPE_SOCKET_FILTER, 0, { bpfCapable: false }))).toBeNull();
    const seq = id("bpf_seq_printf");
    expect(p.helper(seq, root(BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER))).not.toBeNull();
    expect(p.helper(seq, root(BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY))).toBeNull();
    const set = id("bpf_setsockopt");
    expect(p.helper(set, root(BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, { iter: "tcp" }))).not.toBeNull();
    expect(p.helper(set, root(BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, { iter: "task" }))).toBeNull();
    const lsm = (hook: string): HelperUser => root(BPF_PROG_TYPE_LSM, BPF_LSM_CGROUP, { hook });
    expect(p.helper(set, lsm("bpf_lsm_socket_post_create"))).not.toBeNull();
    expect(p.helper(set, lsm("bpf_lsm_file_open"))).toBeNull();
    const ops = (structOps: string): HelperUser => root(BPF_PROG_TYPE_STRUCT_OPS, 0, { structOps });
    expect(p.helper(set, ops("tcp_congestion_ops.init"))).not.toBeNull();
    expect(p.helper(set, ops("tcp_congestion_ops.release"))).toBeNull();
  });

  test("6.1 lacks what came later", () => {
    const old = findProfile("6.1")!;
    const storage = id("bpf_cgrp_storage_get");
    expect(old.helper(storage, root(BPF_PROG_TYPE_KPROBE))).toBeNull();
    expect(findProfile("6.12")!.helper(storage, root(BPF_PROG_TYPE_KPROBE))).not.toBeNull();
    expect(old.kfunc("bpf_iter_num_new")).toBeNull();
    expect(findProfile("5.4")).toBeNull();
  });
});

describe("kfuncs", () => {
  const p = findProfile("6.18")!;
  test("flags and hooks", () => {
    const task = p.kfunc("bpf_task_from_pid")!;
    expect(task.flags).toBe(KF_ACQUIRE | KF_RET_NULL);
    expect(p.kfuncAllowed(task, BPF_PROG_TYPE_LSM, 0)).toBe(true);
    expect(p.kfuncAllowed(task, BPF_PROG_TYPE_SOCKET_FILTER, 0)).toBe(false);
    expect(p.kfuncAllowed(p.kfunc("bpf_iter_num_new")!, BPF_PROG_TYPE_SOCKET_FILTER, 0)).toBe(true);
    expect(p.kfuncAllowed(p.kfunc("bpf_put_file")!, BPF_PROG_TYPE_TRACING, 0)).toBe(false);
    expect(p.kfuncAllowed(p.kfunc("bpf_put_file")!, BPF_PROG_TYPE_LSM, 0)).toBe(true);
    expect(p.kfuncAllowed(p.kfunc("bpf_sock_destroy")!, BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER)).toBe(true);
    expect(p.kfuncAllowed(p.kfunc("bpf_sock_destroy")!, BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY)).toBe(false);
    expect(p.kfunc("toString")).toBeNull();
  });
  test("6.12 does not have 6.18's", () => {
    expect(findProfile("6.12")!.kfunc("bpf_res_spin_lock")).toBeNull();
    expect(p.kfunc("bpf_res_spin_lock")).not.toBeNull();
  });
});

describe("contexts", () => {
  const p = findProfile("6.18")!;
  test("scalars, packet pointers, what is refused and what BTF describes", () => {
    expect(p.ctxAccess(BPF_PROG_TYPE_XDP, 0, 0, 4, false)).toEqual({ regType: PTR_TO_PACKET, btf: null });
    expect(p.ctxAccess(BPF_PROG_TYPE_XDP, 37, 12, 4, false)).toEqual({ regType: SCALAR_VALUE, btf: null });
    expect(p.ctxAccess(BPF_PROG_TYPE_XDP, 0, 0, 8, false)).toBeNull();
    expect(p.ctxAccess(BPF_PROG_TYPE_XDP, 0, 12, 4, true)).toBeNull();
    expect(p.ctxAccess(BPF_PROG_TYPE_SOCKET_FILTER, 0, 76, 4, false)).toBeNull();
    expect(p.ctxAccess(BPF_PROG_TYPE_SCHED_CLS, 46, 76, 4, false)?.regType).toBe(PTR_TO_PACKET);
    expect(p.ctxAccess(BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_SOCK_CREATE, 0, 4, false)).not.toBeNull();
    expect(p.ctxAccess(BPF_PROG_TYPE_LSM, 0, 0, 8, false)).toBeUndefined();
  });
  test("every pointer field can be read somewhere, with one size", () => {
    for (const [type, fields] of CTX_POINTERS) {
      const kinds = new Set(
        CTX_ACCESS.flatMap((r) => r.programs)
          .filter((k) => k.startsWith(`${type}/`))
          .map((k) => Number(k.split("/")[1])),
      );
      for (const { off } of fields) {
        const sizes = new Set<number>();
        for (const attach of kinds)
          for (const size of [1, 2, 4, 8])
            if ((p.ctxAccess(type, attach, off, size, false)?.regType ?? SCALAR_VALUE) !== SCALAR_VALUE)
              sizes.add(size);
        // Socket filters see __sk_buff without the packet; lightweight tunnels see it without data_meta.
        if (off === 76 || off === 80 || off === 140) expect(sizes.size).toBeLessThanOrEqual(1);
        else expect({ type, off, sizes: sizes.size }).toEqual({ type, off, sizes: 1 });
      }
    }
  });
});

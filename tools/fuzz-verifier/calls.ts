/** Calls of helpers and kernel functions with arguments that fit, mostly. */
import * as asm from "../../src/asm/index.ts";
import * as U from "../../src/uapi/index.ts";
import * as A from "../../src/verifier/calls/arg-type.ts";
import { findProfile } from "../../src/verifier/profiles.ts";
import { baseType, mayBeNull } from "../../src/verifier/state/reg-type.ts";
import { NONE, type Reg, SCALAR } from "./builder.ts";
import type { Generator } from "./generate.ts";
import { MAPS } from "./world.ts";

const profile = findProfile("6.18")!;
const helpersOf = new Map<string, number[]>();

/** Left alone: they need set-up of their own (gadgets have it), or act on the machine. */
const LEFT_ALONE: ReadonlySet<number> = new Set([
  U.BPF_FUNC_tail_call,
  U.BPF_FUNC_loop,
  U.BPF_FUNC_for_each_map_elem,
  U.BPF_FUNC_probe_write_user,
]);

function available(g: Generator): number[] {
  const key = `${g.kind.type}/${g.kind.attach}`;
  let ids = helpersOf.get(key);
  if (ids === undefined) {
    const user = {
      progType: g.kind.type,
      expectedAttachType: g.kind.attach,
      sleepable: false,
      bpfCapable: true,
      perfmonCapable: true,
    };
    ids = [];
    for (let id = 1; id < profile.helperCount; id++)
      if (!LEFT_ALONE.has(id) && profile.helper(id, user) !== null) ids.push(id);
    helpersOf.set(key, ids);
  }
  return ids;
}

/** Maps that a helper takes. */
const MAPS_OF: Readonly<Record<number, readonly number[]>> = {
  [U.BPF_FUNC_ringbuf_output]: [4],
  [U.BPF_FUNC_ringbuf_reserve]: [4],
  [U.BPF_FUNC_ringbuf_query]: [4],
  [U.BPF_FUNC_ringbuf_reserve_dynptr]: [4],
  [U.BPF_FUNC_perf_event_output]: [9],
  [U.BPF_FUNC_perf_event_read]: [9],
  [U.BPF_FUNC_perf_event_read_value]: [9],
  [U.BPF_FUNC_get_stackid]: [8],
  [U.BPF_FUNC_redirect_map]: [10, 11, 10, 9],
  [U.BPF_FUNC_map_push_elem]: [7, 16],
  [U.BPF_FUNC_map_pop_elem]: [7],
  [U.BPF_FUNC_map_peek_elem]: [7, 16],
  [U.BPF_FUNC_map_lookup_percpu_elem]: [2],
  [U.BPF_FUNC_sk_redirect_hash]: [12],
  [U.BPF_FUNC_msg_redirect_hash]: [12],
  [U.BPF_FUNC_sock_hash_update]: [12],
};

/** Puts something that fits `type` into R`reg`. */
function argument(g: Generator, helper: number, reg: number, type: number, map: number, size: number): void {
  const { r } = g;
  const base = baseType(type);
  const row = MAPS[map]!;
  const stack = (bytes: number, fill: boolean): void => {
    const n = Math.max(8, (bytes + 7) & ~7);
    if (fill) for (let at = 8; at <= n; at += 8) g.emit(asm.stMem(U.BPF_DW, 10, -at, g.imm()));
    g.emit(asm.mov64Reg(reg, 10));
    g.emit(asm.alu64Imm(U.BPF_ADD, reg, -n + (r.chance(5) ? r.pick([4, 8, -8]) : 0)));
  };
  if (mayBeNull(type) && r.chance(25)) {
    g.emit(asm.mov64Imm(reg, 0));
    return;
  }
  switch (base) {
    case A.ARG_CONST_MAP_PTR:
      g.emit(asm.ldMapFd(reg, map));
      return;
    case A.ARG_PTR_TO_MAP_KEY:
      stack(row.key || 8, r.chance(90));
      return;
    case A.ARG_PTR_TO_MAP_VALUE:
      stack(row.value || 8, r.chance(85));
      return;
    case A.ARG_PTR_TO_MEM: {
      const value = g.some("value", "pkt");
      if (value >= 6 && r.chance(35)) {
        g.emit(asm.mov64Reg(reg, value));
        return;
      }
      stack(size, r.chance(85));
      return;
    }
    case A.ARG_CONST_SIZE:
    case A.ARG_CONST_SIZE_OR_ZERO:
    case A.ARG_CONST_ALLOC_SIZE_OR_ZERO:
      if (r.chance(70)) g.emit(asm.mov64Imm(reg, r.chance(88) ? size : r.pick([0, -1, size + 1, 512, 513])));
      else {
        // A size that varies up to a bound.
        const saved = g.saved();
        g.unknown(saved);
        g.emit(asm.alu64Imm(U.BPF_AND, saved, r.chance(85) ? 7 : 15));
        if (r.chance(60)) g.emit(asm.alu64Imm(U.BPF_ADD, saved, 1));
        g.emit(asm.mov64Reg(reg, saved));
      }
      return;
    case A.ARG_PTR_TO_CTX: {
      const ctx = g.regs[6]!.kind === "ctx" ? 6 : 10;
      g.emit(asm.mov64Reg(reg, ctx));
      return;
    }
    case A.ARG_PTR_TO_CONST_STR:
      g.emit(asm.ldMapValue(reg, 13, 0));
      return;
    case A.ARG_PTR_TO_DYNPTR:
      g.emit(asm.mov64Reg(reg, 10));
      g.emit(asm.alu64Imm(U.BPF_ADD, reg, r.pick([-16, -16, -24, -32])));
      return;
    case A.ARG_PTR_TO_STACK:
      stack(8, true);
      return;
    case A.ARG_PTR_TO_TIMER:
    case A.ARG_PTR_TO_SPIN_LOCK: {
      const value = g.of("value").filter((v) => v >= 6 && (g.regs[v]!.map ?? 0) >= 17);
      if (value.length > 0) {
        g.emit(asm.mov64Reg(reg, r.pick(value)));
        if (base === A.ARG_PTR_TO_TIMER) g.emit(asm.alu64Imm(U.BPF_ADD, reg, 8));
      } else stack(8, true);
      return;
    }
    default: {
      const saved = g.of("scalar", "value", "sock", "pkt", "mixed").filter((v) => v >= 6);
      if (base === A.ARG_ANYTHING && r.chance(55))
        g.emit(asm.mov64Imm(reg, r.pick([0, 0, 1, 2, 8, g.imm()])));
      else if (saved.length > 0) g.emit(asm.mov64Reg(reg, r.pick(saved)));
      else g.emit(asm.mov64Imm(reg, r.pick([0, 1, 64])));
    }
  }
  void helper;
}

export function callGadget(g: Generator): void {
  const { r } = g;
  const ids = available(g);
  const id = r.chance(97) ? r.pick(ids) : 1 + r.below(profile.helperCount + 2);
  if (LEFT_ALONE.has(id)) return;
  const spec = profile.helper(id, {
    progType: g.kind.type,
    expectedAttachType: g.kind.attach,
    sleepable: false,
    bpfCapable: true,
    perfmonCapable: true,
  });
  const map = r.chance(92) ? r.pick(MAPS_OF[id] ?? [0, 1, 2, 3, 15]) : r.below(MAPS.length);
  const size = r.pick([8, 8, 16, 24, 4, 1]);
  for (const [i, type] of (spec?.args ?? []).entries()) {
    if (type === A.ARG_DONTCARE) break;
    if (r.chance(3)) {
      // Something else, or nothing.
      if (r.chance(50)) g.emit(asm.mov64Reg(i + 1, r.chance(50) ? 10 : 6));
      continue;
    }
    argument(g, id, i + 1, type, map, size);
  }
  g.emit(asm.callHelper(id));
  g.afterCall(returned(spec?.ret ?? A.RET_INTEGER, map));
  if (g.regs[0]!.kind === "value-or-null" && r.chance(80))
    g.nullCheck(0, { kind: "value", map, size: MAPS[map]!.value });
}

function returned(ret: number, map: number): Reg {
  switch (baseType(ret)) {
    case A.RET_INTEGER:
      return SCALAR;
    case A.RET_VOID:
      return NONE;
    case A.RET_PTR_TO_MAP_VALUE:
      return { kind: "value-or-null", map, size: MAPS[map]!.value };
    default:
      return { kind: "mixed" };
  }
}

/** Kernel functions that generated programs may call, with their ids in the kernel's BTF. Never bpf_wq_init() and its kin. */
let kfuncs: ReadonlyMap<string, number> = new Map();

const ALLOWED: readonly string[] = [
  "bpf_rcu_read_lock",
  "bpf_rcu_read_unlock",
  "bpf_preempt_disable",
  "bpf_preempt_enable",
  "bpf_local_irq_save",
  "bpf_local_irq_restore",
  "bpf_iter_num_new",
  "bpf_iter_num_next",
  "bpf_iter_num_destroy",
  "bpf_dynptr_from_skb",
  "bpf_dynptr_from_xdp",
  "bpf_dynptr_slice",
  "bpf_dynptr_size",
  "bpf_dynptr_is_null",
  "bpf_dynptr_adjust",
  "bpf_dynptr_clone",
  "bpf_cast_to_kern_ctx",
  "bpf_task_from_pid",
  "bpf_task_release",
  "bpf_task_acquire",
  "bpf_cgroup_from_id",
  "bpf_cgroup_release",
  "bpf_cpumask_create",
  "bpf_cpumask_release",
  "bpf_cpumask_first",
  "bpf_cpumask_set_cpu",
];

export function useKfuncs(idOf: (name: string) => number): void {
  kfuncs = new Map(ALLOWED.map((name) => [name, idOf(name)] as const).filter(([, id]) => id > 0));
}

/** Is this the id of a kernel function that may be loaded on a real kernel? */
export function kfuncAllowed(id: number): boolean {
  for (const known of kfuncs.values()) if (known === id) return true;
  return false;
}

export function kfuncGadget(g: Generator): void {
  const { r } = g;
  const call = (name: string): boolean => {
    const id = kfuncs.get(name);
    if (id === undefined) return false;
    g.emit(asm.callKfunc(id));
    return true;
  };
  const fp = (reg: number, off: number): void => {
    g.emit(asm.mov64Reg(reg, 10));
    g.emit(asm.alu64Imm(U.BPF_ADD, reg, off));
  };
  if (kfuncs.size === 0) return;
  switch (r.below(9)) {
    case 0: {
      const [on, off] = r.pick([
        ["bpf_rcu_read_lock", "bpf_rcu_read_unlock"],
        ["bpf_preempt_disable", "bpf_preempt_enable"],
      ] as const);
      call(on);
      g.afterCall(NONE);
      if (g.nesting < 3) {
        g.nesting++;
        if (r.chance(40)) g.alu();
        if (r.chance(15)) g.step();
        g.nesting--;
      }
      if (r.chance(92)) call(off);
      g.afterCall(NONE);
      return;
    }
    case 1: {
      // An open-coded loop.
      const at = -8 * (3 + r.below(3));
      fp(1, at);
      g.emit(asm.mov64Imm(2, 0));
      g.emit(asm.mov64Imm(3, r.pick([3, 10, 100, 1 << 24])));
      call("bpf_iter_num_new");
      g.afterCall(SCALAR);
      const before = g.regs.slice();
      const start = g.items.length;
      fp(1, at);
      call("bpf_iter_num_next");
      g.afterCall({ kind: "mixed" });
      const out = g.emit(asm.jmpImm(U.BPF_JEQ, 0, 0, 0));
      g.set(0, { kind: "mem", size: 4 });
      if (g.nesting < 2) {
        g.nesting += 2;
        const exits = g.exits.length;
        if (r.chance(50)) {
          g.emit(asm.ldxMem(U.BPF_W, 7, 0, r.chance(92) ? 0 : 4));
          g.set(7, SCALAR);
        }
        for (let i = r.below(3); i > 0; i--) r.chance(60) ? g.alu() : g.step();
        if (g.exits.length > exits && r.chance(80)) {
          // Those would leave the iterator behind: they end the loop.
          for (const jump of g.exits.splice(exits)) g.items[jump]!.target = start;
        }
        g.nesting -= 2;
      }
      g.items[g.emit(asm.ja(0))]!.target = start;
      g.here(out);
      if (r.chance(93)) {
        fp(1, at);
        call("bpf_iter_num_destroy");
      }
      g.join(g.regs, before);
      g.afterCall(NONE);
      return;
    }
    case 2: {
      const xdp = g.kind.type === U.BPF_PROG_TYPE_XDP;
      if (g.regs[6]!.kind !== "ctx") return;
      g.emit(asm.mov64Reg(1, 6));
      g.emit(asm.mov64Imm(2, 0));
      fp(3, -16);
      call(xdp ? "bpf_dynptr_from_xdp" : "bpf_dynptr_from_skb");
      g.afterCall(SCALAR);
      fp(1, -16);
      if (r.chance(60)) {
        g.emit(asm.mov64Imm(2, r.below(32)));
        fp(3, -40);
        g.emit(asm.mov64Imm(4, r.pick([4, 8, 16])));
        call("bpf_dynptr_slice");
        g.afterCall({ kind: "mixed" });
        const over = g.emit(asm.jmpImm(U.BPF_JEQ, 0, 0, 0));
        g.emit(r.chance(85) ? asm.ldxMem(U.BPF_W, 1, 0, r.pick([0, 4, 8, 12])) : asm.stMem(U.BPF_W, 0, 0, 1));
        g.here(over);
      } else call(r.pick(["bpf_dynptr_size", "bpf_dynptr_is_null"]));
      g.afterCall(NONE);
      return;
    }
    case 3:
      g.emit(asm.mov64Imm(1, 1));
      call("bpf_task_from_pid");
      return acquired(g, call, "bpf_task_release");
    case 4:
      g.emit(asm.mov64Imm(1, 1));
      call("bpf_cgroup_from_id");
      return acquired(g, call, "bpf_cgroup_release");
    case 5:
      call("bpf_cpumask_create");
      return acquired(g, call, "bpf_cpumask_release");
    case 6:
      fp(1, -48);
      call("bpf_local_irq_save");
      g.afterCall(NONE);
      if (r.chance(30)) g.alu();
      if (r.chance(90)) {
        fp(1, -48);
        call("bpf_local_irq_restore");
      }
      g.afterCall(NONE);
      return;
    case 7:
      if (g.regs[6]!.kind !== "ctx") return;
      g.emit(asm.mov64Reg(1, 6));
      call("bpf_cast_to_kern_ctx");
      g.afterCall({ kind: "btf" });
      if (r.chance(60)) {
        g.emit(asm.ldxMem(r.pick([U.BPF_B, U.BPF_H, U.BPF_W, U.BPF_DW]), 7, 0, 8 * r.below(24)));
        g.set(7, { kind: "mixed" });
      }
      return;
    default: {
      const name = r.pick([...kfuncs.keys()]);
      for (let i = 1; i <= r.below(4); i++) g.emit(r.chance(50) ? asm.mov64Imm(i, 0) : asm.mov64Reg(i, 10));
      call(name);
      g.afterCall({ kind: "mixed" });
    }
  }
}

function acquired(g: Generator, call: (name: string) => boolean, release: string): void {
  const { r } = g;
  g.afterCall({ kind: "mixed" });
  const reg = g.saved();
  g.emit(asm.mov64Reg(reg, 0));
  const over = g.emit(asm.jmpImm(U.BPF_JEQ, reg, 0, 0));
  if (r.chance(50)) g.emit(asm.ldxMem(r.pick([U.BPF_W, U.BPF_DW]), 1, reg, 8 * r.below(40)));
  if (r.chance(94)) {
    g.emit(asm.mov64Reg(1, reg));
    call(release);
  }
  g.here(over);
  g.set(reg, NONE);
  g.afterCall(NONE);
}

import { describe, expect, it } from "vitest";
import { attachSpec } from "./attach-spec.ts";
import { matchSection } from "./section-table.ts";
import type { ProgramSpec } from "./spec.ts";

function program(sectionName: string): ProgramSpec {
  const section = matchSection(sectionName);
  return { name: "p", sectionName, section, attachTarget: section?.target ?? "" } as ProgramSpec;
}

describe("what a section says about attaching", () => {
  it.each([
    ["kprobe/do_unlinkat", { kind: "kprobe", retprobe: false, func: "do_unlinkat", offset: 0 }],
    ["kprobe/f+0x10", { kind: "kprobe", retprobe: false, func: "f", offset: 16 }],
    ["kretprobe/f", { kind: "kprobe", retprobe: true, func: "f", offset: 0 }],
    ["kprobe", undefined],
    ["ksyscall/nanosleep", { kind: "ksyscall", retprobe: false, syscall: "nanosleep" }],
    ["kretsyscall/bpf", { kind: "ksyscall", retprobe: true, syscall: "bpf" }],
    ["kprobe.multi/bpf_*", { kind: "kprobe.multi", retprobe: false, session: false, pattern: "bpf_*" }],
    ["kprobe.session/a?", { kind: "kprobe.multi", retprobe: false, session: true, pattern: "a?" }],
    [
      "uprobe//lib/libc.so.6:malloc+8",
      { kind: "uprobe", retprobe: false, path: "/lib/libc.so.6", func: "malloc", offset: 8 },
    ],
    ["uprobe/./a:0x40", { kind: "uprobe", retprobe: false, path: "./a", func: "", offset: 64 }],
    ["uretprobe.s//bin/x:f", { kind: "uprobe", retprobe: true, path: "/bin/x", func: "f", offset: 0 }],
    ["uprobe.multi//bin/x:f_*", { kind: "uprobe.multi", retprobe: false, path: "/bin/x", pattern: "f_*" }],
    [
      "usdt/./urandom_read:urand:read",
      { kind: "usdt", path: "./urandom_read", provider: "urand", name: "read" },
    ],
    ["tp/syscalls/sys_enter_bpf", { kind: "tracepoint", category: "syscalls", name: "sys_enter_bpf" }],
    ["raw_tp/sys_enter", { kind: "raw_tracepoint", name: "sys_enter" }],
    ["fentry/bpf_testmod:f", { kind: "trace", target: "bpf_testmod:f" }],
    ["lsm.s/bprm_committed_creds", { kind: "trace", target: "bprm_committed_creds" }],
    ["lsm_cgroup/socket_bind", undefined],
    ["iter/task", { kind: "iter", target: "task" }],
    ["xdp", undefined],
  ])("%s", (name, spec) => {
    expect(attachSpec(program(name))).toEqual(spec);
  });

  it.each([
    "kprobe/a b",
    "kretprobe/f+1",
    "uprobe/nothing",
    "uretprobe/a:f+1",
    "usdt/a:b",
    "tp/only",
    "kprobe.multi/a-b",
  ])("refuses %s", (name) => {
    expect(() => attachSpec(program(name))).toThrow(/want/);
  });
});

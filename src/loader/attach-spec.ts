/** What a section's name says about attaching (the attach_* functions of tools/lib/bpf/libbpf.c), parsed. */
import { LoadError } from "../diag/index.ts";
import { EINVAL } from "../uapi/index.ts";
import type { ProgramSpec } from "./spec.ts";

export type AttachSpec =
  /** `kprobe/func+off`, `kretprobe/func`. */
  | { readonly kind: "kprobe"; readonly retprobe: boolean; readonly func: string; readonly offset: number }
  /** `ksyscall/name`: the entry of a system call, whatever the architecture calls it. */
  | { readonly kind: "ksyscall"; readonly retprobe: boolean; readonly syscall: string }
  /** `kprobe.multi/pattern`, with `*` and `?`. */
  | {
      readonly kind: "kprobe.multi";
      readonly retprobe: boolean;
      readonly session: boolean;
      readonly pattern: string;
    }
  /** `uprobe/path:func+off`; `func` is "" where only an offset is given. */
  | {
      readonly kind: "uprobe";
      readonly retprobe: boolean;
      readonly path: string;
      readonly func: string;
      readonly offset: number;
    }
  /** `uprobe.multi/path:pattern`. */
  | {
      readonly kind: "uprobe.multi";
      readonly retprobe: boolean;
      readonly path: string;
      readonly pattern: string;
    }
  /** `usdt/path:provider:name`. */
  | { readonly kind: "usdt"; readonly path: string; readonly provider: string; readonly name: string }
  /** `tp/category/name`. */
  | { readonly kind: "tracepoint"; readonly category: string; readonly name: string }
  | { readonly kind: "raw_tracepoint"; readonly name: string }
  /** fentry, fexit, fmod_ret, tp_btf, freplace, LSM: by BTF id; `target` as written. */
  | { readonly kind: "trace"; readonly target: string }
  | { readonly kind: "iter"; readonly target: string };

/** undefined: nothing that a program of that section attaches to by itself. Malformed text is a LoadError. */
export function attachSpec(program: ProgramSpec): AttachSpec | undefined {
  const { section, attachTarget: text } = program;
  if (section === undefined) return undefined;
  const name = section.def.pattern.replace(/\+$/, "");
  const fail = (want: string): LoadError =>
    new LoadError(`program '${program.name}': section '${program.sectionName}': want ${want}`, EINVAL);
  if (section.def.attachBtf) {
    const kind = name.startsWith("iter") ? "iter" : "trace";
    return name === "lsm_cgroup" || text === "" ? undefined : { kind, target: text };
  }
  if (text === "") return undefined;
  const retprobe = name.includes("ret");
  switch (name) {
    case "kprobe":
    case "kretprobe": {
      const match = /^([A-Za-z0-9_.]+)(?:\+(0x[0-9a-fA-F]+|\d+))?$/.exec(text);
      if (match === null) throw fail(`${name}/FUNCTION+OFFSET`);
      const offset = Number(match[2] ?? 0);
      if (retprobe && offset !== 0) throw fail("no offset: kretprobes have none");
      return { kind: "kprobe", retprobe, func: match[1]!, offset };
    }
    case "ksyscall":
    case "kretsyscall":
      return { kind: "ksyscall", retprobe, syscall: text };
    case "kprobe.multi":
    case "kretprobe.multi":
    case "kprobe.session":
      if (!/^[A-Za-z0-9_.*?]+$/.test(text)) throw fail(`${name}/PATTERN`);
      return { kind: "kprobe.multi", retprobe, session: name === "kprobe.session", pattern: text };
    case "uprobe":
    case "uprobe.s":
    case "uretprobe":
    case "uretprobe.s":
      return uprobe(text, retprobe, fail);
    case "uprobe.multi":
    case "uprobe.multi.s":
    case "uretprobe.multi":
    case "uretprobe.multi.s": {
      const match = /^([^:]+):(.+)$/.exec(text);
      if (match === null) throw fail(`${name}/PATH:PATTERN`);
      return { kind: "uprobe.multi", retprobe, path: match[1]!, pattern: match[2]! };
    }
    case "usdt":
    case "usdt.s": {
      const match = /^([^:]+):([^:]+):([^:]+)$/.exec(text);
      if (match === null) throw fail(`${name}/PATH:PROVIDER:NAME`);
      return { kind: "usdt", path: match[1]!, provider: match[2]!, name: match[3]! };
    }
    case "tp":
    case "tracepoint": {
      const slash = text.indexOf("/");
      if (slash < 1 || slash === text.length - 1) throw fail(`${name}/CATEGORY/NAME`);
      return { kind: "tracepoint", category: text.slice(0, slash), name: text.slice(slash + 1) };
    }
    case "raw_tp":
    case "raw_tracepoint":
    case "raw_tp.w":
    case "raw_tracepoint.w":
      return { kind: "raw_tracepoint", name: text };
    default:
      return undefined;
  }
}

function uprobe(text: string, retprobe: boolean, fail: (want: string) => LoadError): AttachSpec {
  const match = /^([^:]+):(.+)$/.exec(text);
  const place = /^(?:([A-Za-z_][^+]*)(?:\+(0x[0-9a-fA-F]+|\d+))?|(0x[0-9a-fA-F]+|\d+))$/.exec(
    match?.[2] ?? "",
  );
  if (match === null || place === null) throw fail("PATH:FUNCTION+OFFSET");
  const offset = Number(place[2] ?? place[3] ?? 0);
  if (retprobe && offset !== 0) throw fail("no offset: uretprobes have none");
  return { kind: "uprobe", retprobe, path: match[1]!, func: place[1] ?? "", offset };
}

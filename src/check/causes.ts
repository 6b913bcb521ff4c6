/** Which classic mistake a rejection is: by the kernel's message, the instruction, and the path that led there. */
import { BTF_KIND_STRUCT } from "../btf/index.ts";
import { bpf_map_type_names, bpf_prog_type_names } from "../uapi/index.ts";
import type { VerifierInput, VerifierResult } from "../verifier/index.ts";
import { type FailingPath, lastState, originOf, statesOf } from "./failing-path.ts";

export interface Cause {
  readonly code: string;
  readonly text: string;
  readonly repair?: string;
  /** The register that it is about. */
  readonly reg?: number;
  /** Another instruction than the last one of the path. */
  readonly insn?: number;
}

interface Context {
  readonly path: FailingPath;
  readonly input: VerifierInput;
  readonly kernel: string;
  /** All messages, joined by line feeds. */
  readonly text: string;
}

type Rule = readonly [pattern: RegExp, make: (m: RegExpExecArray, c: Context) => Cause];

const typeName = (type: number): string =>
  (bpf_prog_type_names[type] ?? "").replace("BPF_PROG_TYPE_", "").toLowerCase();

/** What the kernel's words for a pointer mean to the author of a program. */
function pointerWords(type: string): string {
  if (type.startsWith("map_value")) return "a map value";
  if (type.startsWith("sock") || type.startsWith("tcp_sock")) return "a socket";
  if (type.startsWith("ringbuf_mem")) return "reserved ring buffer memory";
  if (/ptr_/.test(type)) return "a kernel object";
  return "memory";
}

/** Bytes an instruction accesses at most behind the pointer's start: off and size of "off=14 size=2". */
function span(m: RegExpExecArray, off: number, size: number): { end: number; text: string } {
  const [o, s] = [Number(m[off]), Number(m[size])];
  return { end: o + s, text: `${s} byte${s === 1 ? "" : "s"} at offset ${o}` };
}

/** Whether the path compared a copy or half of a register's value, and not the register itself. */
function comparedElsewhere(c: Context, reg: number): string {
  const state = lastState(c.path, reg) ?? "";
  const { slots } = c.path;
  if (/u?max32|smax32/.test(state) && !/\bumax=|smax=umax=|umax=/.test(state))
    return " The check before it compared only the low 32 bits";
  const aliases = new Set(originOf(c.path, reg).map((s) => s.insn));
  for (const step of c.path.steps) {
    const cls = slots.op[step.insn]! & 7;
    const kind = slots.op[step.insn]! & 0xf0;
    if (
      (cls === 5 || cls === 6) &&
      kind !== 0 &&
      kind < 0xe0 &&
      kind !== 0x80 &&
      kind !== 0x90 &&
      aliases.size > 0
    )
      return cls === 6
        ? " A check on the path compared only the low 32 bits, or another copy"
        : " A check on the path bounds another copy or the wrong side of the value";
  }
  return "";
}

function ctxField(c: Context, off: number): string {
  const structs: Record<string, string> = {
    xdp: "xdp_md",
    socket_filter: "__sk_buff",
    sched_cls: "__sk_buff",
    sched_act: "__sk_buff",
    cgroup_skb: "__sk_buff",
    sk_skb: "__sk_buff",
    lwt_in: "__sk_buff",
    lwt_out: "__sk_buff",
    lwt_xmit: "__sk_buff",
    flow_dissector: "__sk_buff",
    cgroup_sock_addr: "bpf_sock_addr",
    cgroup_sock: "bpf_sock",
    sock_ops: "bpf_sock_ops",
    sk_msg: "sk_msg_md",
    cgroup_sockopt: "bpf_sockopt",
    cgroup_sysctl: "bpf_sysctl",
    cgroup_device: "bpf_cgroup_dev_ctx",
    sk_lookup: "bpf_sk_lookup",
    sk_reuseport: "sk_reuseport_md",
  };
  const struct = structs[typeName(c.input.progType)];
  const { btf } = c.input;
  const id = struct && btf ? btf.findByName(struct, BTF_KIND_STRUCT) : undefined;
  if (struct === undefined) return "that part of the context";
  if (id === undefined || btf === null) return `offset ${off} of struct ${struct}`;
  const type = btf.type(id);
  const members = "members" in type ? type.members : [];
  const member = members.findLast((x) => x.bitOffset <= off * 8);
  return member ? `${struct}.${member.name}` : `offset ${off} of struct ${struct}`;
}

const regOf = (m: RegExpExecArray, group = 1): number => Number(m[group]);

const RULES: readonly Rule[] = [
  // ---- references, locks, loops, limits: the cause is not where the path ended
  [
    /Unreleased reference id=(\d+) alloc_insn=(\d+)/,
    (m, c) => {
      const at = c.path.lineOf(Number(m[2]));
      const end = c.path.steps.at(-1);
      const exit = end ? c.path.lineOf(end.insn) : null;
      return {
        code: "unreleased-reference",
        insn: Number(m[2]),
        text: `what is acquired here is not released on the path that ends${exit ? ` at line ${exit.line}` : ""}`,
        repair: `release it (bpf_sk_release, bpf_ringbuf_submit or _discard, the kfunc's counterpart...) before every return that follows${at ? ` line ${at.line}` : ""}`,
      };
    },
  ],
  [
    /BPF_EXIT instruction in main prog would lead to reference leak/,
    () => ({
      code: "unreleased-reference",
      text: "the program ends while it holds a reference",
      repair: "release what was acquired on every path before returning",
    }),
  ],
  [
    /(infinite loop detected at insn|back-edge from insn (\d+) to)/,
    () => ({
      code: "unbounded-loop",
      text: "a loop comes round without anything that bounds it",
      repair:
        "give the loop a constant upper limit (for (i = 0; i < MAX; i++)), or use bpf_for(), bpf_loop() or may_goto",
    }),
  ],
  [
    /BPF program is too large\. Processed (\d+) insn|sequence of (\d+) jumps is too complex/,
    () => ({
      code: "too-complex",
      text: "the verifier gave up: too many instructions or branches to follow, as a loop with many states makes",
      repair:
        "bound the loop more tightly, use bpf_loop() or bpf_for(), or move its body into a global function",
    }),
  ],
  [
    /combined stack size of (\d+) calls is (\d+)\. Too large|stack depth (\d+) exceeds/,
    (m) => ({
      code: "stack-too-large",
      text: `functions that call each other use ${m[2] ?? m[3] ?? "more than 512"} bytes of stack together; 512 is the limit`,
      repair: "move large local variables into a per-CPU array map, or split the call chain",
    }),
  ],
  [
    /invalid (?:write to|read from|unbounded variable-offset .*) stack(?: R(\d+))? ?off=?-?(\d{3,}) size/,
    (m) => ({
      code: "stack-too-large",
      text: `the access lies ${m[2]} bytes below the frame pointer; a function has 512 bytes of stack`,
      repair: "move large local variables into a per-CPU array map",
    }),
  ],
  [
    /cannot call GPL-restricted function from non-GPL compatible program/,
    (_, c) => ({
      code: "gpl-only",
      text: `this helper is for GPL-compatible programs only; the license says "${c.input.license}"`,
      repair: 'char LICENSE[] SEC("license") = "GPL"; or do without the helper',
    }),
  ],
  [
    /program of this type cannot use helper (\w+)#(\d+)/,
    (m, c) => ({
      code: "helper-unavailable",
      text: `programs of type ${typeName(c.input.progType)} cannot call ${m[1]} on Linux ${c.kernel}`,
      repair: "use a helper of this program type, or another program type",
    }),
  ],
  [
    /(?:invalid func|unknown func) (\w+)#(\d+)/,
    (m, c) => {
      const missing = Number(m[2]) >= 2_001_000_000;
      return {
        code: "helper-unavailable",
        text: missing
          ? "the map or kernel function that this refers to does not exist"
          : `Linux ${c.kernel} has no helper number ${m[2]}`,
        repair:
          "guard the use with bpf_ksym_exists() or bpf_core_enum_value_exists(), or require a newer kernel",
      };
    },
  ],
  [
    /calling kernel function (\w+) is not allowed/,
    (m, c) => ({
      code: "kfunc-unavailable",
      text: `programs of type ${typeName(c.input.progType)} cannot call the kernel function ${m[1]} on Linux ${c.kernel}`,
      repair: "call it from a program type that it is registered for",
    }),
  ],
  [
    /kernel function btf_id (\d+) is not a kernel function|kernel function .* not found/,
    (_, c) => ({
      code: "kfunc-unavailable",
      text: `Linux ${c.kernel} has no such kernel function`,
      repair: "declare it __weak and guard the call with bpf_ksym_exists()",
    }),
  ],
  [
    /cannot pass map_type (\d+) into func (\w+)#/,
    (m) => ({
      code: "map-type",
      text: `${m[2]} does not work on a map of type ${(bpf_map_type_names[Number(m[1])] ?? m[1]!).replace("BPF_MAP_TYPE_", "")}`,
      repair: "change the map's type, or use the helper that belongs to it",
    }),
  ],
  // ---- null
  [
    /R(\d+) invalid mem access '(\w*?)_or_null_?'/,
    (m) => ({
      code: "missing-null-check",
      reg: regOf(m),
      text: `the pointer may be NULL here: ${pointerWords(m[2]!)} that was not checked`,
      repair: "if (!ptr) return 0; between getting the pointer and using it",
    }),
  ],
  [
    /R(\d+) type=(\w*?)_or_null_? expected=/,
    (m) => ({
      code: "missing-null-check",
      reg: regOf(m),
      text: `argument ${m[1]} may be NULL: ${pointerWords(m[2]!)} that was not checked`,
      repair: "if (!ptr) return 0; before the call",
    }),
  ],
  [
    /R(\d+) pointer arithmetic on (\w+?)_or_null/,
    (m) => ({
      code: "missing-null-check",
      reg: regOf(m),
      text: `arithmetic on a pointer that may be NULL: ${pointerWords(m[2]!)}`,
      repair: "check the pointer itself before adding to it: if (!ptr) return 0;",
    }),
  ],
  [
    /Possibly NULL pointer passed to (?:trusted |helper )?arg(\d+)/,
    (m) => ({
      code: "missing-null-check",
      reg: Number(m[1]) + 1,
      text: `argument ${Number(m[1]) + 1} may be NULL`,
      repair: "if (!ptr) return 0; before the call",
    }),
  ],
  // ---- packets
  [
    /invalid access to packet, off=(-?\d+) size=(\d+), R(\d+)\(id=\d+,off=-?\d+,r=(\d+)\)/,
    (m) => {
      const need = span(m, 1, 2);
      const have = Number(m[4]);
      return have === 0
        ? {
            code: "packet-bounds",
            reg: regOf(m, 3),
            text: `this reads ${need.text} of the packet, and nothing on this path compared the pointer with data_end`,
            repair: `if (ptr + ${need.end} > data_end) return ...; before the access`,
          }
        : {
            code: "packet-bounds-short",
            reg: regOf(m, 3),
            text: `this reads ${need.text} of the packet, but the check against data_end covers ${have} bytes only`,
            repair: `let the check cover ${need.end} bytes: if (ptr + ${need.end} > data_end) return ...;`,
          };
    },
  ],
  // ---- map values and other memory of known size
  [
    /invalid access to (map value|map key|memory|mem|allocated memory|ringbuf memory)\S*, (?:value_size|key_size|mem_size)=(\d+) off=(-?\d+) size=(\d+)[\s\S]*?(R(\d+) max value is outside of the allowed memory range)/,
    (m, c) => ({
      code: "missing-upper-bound",
      reg: regOf(m, 6),
      text: `the index can reach past the end of the ${m[1]} (${m[2]} bytes).${comparedElsewhere(c, regOf(m, 6))}`,
      repair: `bound the index on this path: if (i >= N) return 0;, with N elements that fit into ${m[2]} bytes`,
    }),
  ],
  [
    /invalid access to (map value|map key|memory|mem)\S*, (?:value_size|key_size|mem_size)=(\d+) off=(-?\d+) size=(\d+)/,
    (m) => ({
      code: "out-of-bounds",
      text: `this accesses ${span(m, 3, 4).text} of a ${m[1]} of ${m[2]} bytes`,
      repair:
        Number(m[3]) < 0
          ? "do not go below the start of the memory"
          : `stay below offset ${m[2]}: a field or an element too many (off by one?)`,
    }),
  ],
  [
    /R(\d+) (?:min value is negative|unbounded memory access)/,
    (m, c) => {
      const negative = /min value is negative/.test(m[0]);
      return {
        code: negative ? "missing-lower-bound" : "missing-upper-bound",
        reg: regOf(m),
        text: negative
          ? `the value may be negative here.${comparedElsewhere(c, regOf(m))}`
          : `nothing on this path bounds the value from above.${comparedElsewhere(c, regOf(m))}`,
        repair: negative
          ? "make it unsigned, or check it on both sides: if (n < 0 || n > MAX) return 0;"
          : "if (n > MAX) return 0; on the variable that is used, or n &= MAX - 1 with a power of two",
      };
    },
  ],
  [
    /R(\d+) max value is outside of the (?:allowed memory range|array range)/,
    (m, c) => ({
      code: "missing-upper-bound",
      reg: regOf(m),
      text: `the index can reach past the end of the memory.${comparedElsewhere(c, regOf(m))}`,
      repair: "bound the index on this path before it is used: if (i >= N) return 0;",
    }),
  ],
  [
    /math between (\w+) pointer and (?:register with unbounded min value|\S+) is not allowed|value (-?\d+) makes (\w+) pointer be out of bounds/,
    (m, c) => {
      const at = c.path.steps.at(-1);
      const reg =
        at === undefined || (c.path.slots.op[at.insn]! & 8) === 0 ? undefined : c.path.slots.src[at.insn]!;
      const negative = /smax=|umin=|smin=-/.test(lastState(c.path, reg ?? 0) ?? "");
      return {
        code: negative ? "missing-lower-bound" : "missing-upper-bound",
        ...(reg === undefined ? {} : { reg }),
        text: `a value ${negative ? "that may be negative" : "without bounds"} is added to a ${(m[1] ?? m[3] ?? "").replace("_", " ")} pointer.${reg === undefined ? "" : comparedElsewhere(c, reg)}`,
        repair:
          "check it on both sides before adding it, or make it unsigned: if (i < 0 || i >= N) return 0;",
      };
    },
  ],
  [
    /R(\d+) invalid zero-sized read(?:: u64=\[(\d+),(\d+)\])?/,
    (m) => {
      const most = m[3] === undefined || Number(m[3]) > 0xffff ? "" : ` (at most ${m[3]})`;
      return {
        code: most === "" && m[3] !== undefined ? "missing-upper-bound" : "size-zero",
        reg: regOf(m),
        text: `the size may be zero here${most}, which this call does not take${most === "" ? ", and nothing bounds it from above" : ""}`,
        repair: "if (len == 0 || len > sizeof(buf)) return 0;",
      };
    },
  ],
  [
    /kernel subsystem misconfigured verifier/,
    (_, c) => ({
      code: "map-type",
      text: `this call does not work on a map of that type${/tail_call/.test(c.path.steps.at(-1)?.text ?? "") ? ": bpf_tail_call wants a PROG_ARRAY" : ""}`,
      repair: "change the map's type, or use the helper that belongs to it",
    }),
  ],
  // ---- registers and stack
  [
    /R0 !read_ok/,
    (_, c) => ({
      code: (c.path.steps.at(-1)?.text ?? "").includes("exit") ? "missing-return" : "uninitialized",
      reg: 0,
      text: "the program returns, or uses, a value that was never set",
      repair: "return a value on every path",
    }),
  ],
  [
    /R(\d+) !read_ok/,
    (m, c) => {
      const after = c.path.steps.slice(0, -1).findLast((s) => s.text.includes("call"));
      return {
        code: "uninitialized",
        reg: regOf(m),
        text: `register R${m[1]} holds nothing here${after ? ": calls destroy R1 to R5" : ": a variable that was never set on this path"}`,
        repair: "set the variable on every path before it is used",
      };
    },
  ],
  [
    /invalid (?:indirect )?(?:read from|access to) stack R?(\d+)? ?(?:off|var_off) ?-?(\d+)\+(\d+) size (\d+)/,
    (m) => ({
      code: "uninitialized-stack",
      text: `a helper reads ${m[4]} bytes of stack, of which byte ${m[3]} was never written (padding counts)`,
      repair: "initialise the whole variable: struct s v = {}; and __builtin_memset() where it has padding",
    }),
  ],
  [
    /invalid read from stack/,
    () => ({
      code: "uninitialized-stack",
      text: "this reads stack that was never written on this path",
      repair: "initialise the variable before it is read",
    }),
  ],
  // ---- context, pointers
  [
    /invalid bpf_context access off=(\d+) size=(\d+)/,
    (m, c) => ({
      code: "context-access",
      reg: 1,
      text: `programs of type ${typeName(c.input.progType)}${c.input.attach ? "" : ` cannot access ${ctxField(c, Number(m[1]))} like this`}${c.input.attach ? " have no such argument" : ""} (offset ${m[1]}, ${m[2]} bytes)`,
      repair: "use a field that this program type may read (or write), with its own size",
    }),
  ],
  [
    /dereference of modified (\w+) ptr R(\d+) off=(-?\d+) disallowed/,
    (m) => ({
      code: "modified-pointer",
      reg: regOf(m, 2),
      text: `the ${m[1]} pointer was moved by ${m[3]} before this access`,
      repair: "access fields through the pointer as it was given",
    }),
  ],
  [
    /R(\d+) invalid mem access 'scalar'/,
    (m, c) => {
      const reg = regOf(m);
      const before = originOf(c.path, reg).flatMap((s) => [s.state]);
      const was = [...statesOf(c.path, reg), ...before].join(" ");
      if (/\bpkt\(/.test(was))
        return {
          code: "packet-invalidated",
          reg,
          text: "a helper on this path may have moved the packet: pointers into it that were taken before hold nothing any more",
          repair: "load data and data_end again after the call, and check again",
        };
      if (/ref_obj_id=/.test(was))
        return {
          code: "used-after-release",
          reg,
          text: "what this points to was released on this path",
          repair: "use it before it is released",
        };
      return {
        code: "not-a-pointer",
        reg,
        text: "a number is used as a pointer: the verifier does not know what it points to",
        repair:
          "keep the pointer in one variable, without arithmetic that is not pointer arithmetic; read kernel memory with bpf_probe_read_kernel()",
      };
    },
  ],
  [
    /R(\d+) (?:invalid mem access|type=)\s?'?(\w+)'? ?(?:expected=(.*))?$/m,
    (m) => ({
      code: "wrong-type",
      reg: regOf(m),
      text:
        m[3] !== undefined
          ? `argument ${m[1]} is of kind ${m[2]}; this call wants ${m[3]}`
          : `memory cannot be accessed through a ${m[2]} pointer`,
      repair: "pass what the call's prototype asks for",
    }),
  ],
  [
    /R(\d+) (?:pointer [-+|&^*/]*=? ?pointer prohibited|pointer arithmetic)|bitwise operator \S+ on pointer prohibited|R(\d+) \S+ pointer .* prohibited/,
    () => ({
      code: "pointer-arithmetic",
      text: "this arithmetic on a pointer is not allowed",
      repair:
        "add or subtract bounded numbers only, and compare packet pointers instead of computing with them",
    }),
  ],
  [
    /write into map forbidden|cannot write into (\w+)|R(\d+) cannot write into/,
    () => ({
      code: "read-only",
      text: "this memory is read-only for the program",
      repair: "copy what is to be changed into a variable of the program",
    }),
  ],
  [
    /R0 leaks addr as return value/,
    () => ({
      code: "pointer-leak",
      reg: 0,
      text: "the program would return a pointer",
      repair: "return a number",
    }),
  ],
  [
    /R(\d+) leaks addr/,
    (m) => ({
      code: "pointer-leak",
      reg: regOf(m),
      text: "this would show a kernel address to user space",
      repair: "do not store pointers in maps",
    }),
  ],
  [
    /(?:At program exit|At callback return) the register R0 has (.*) should have been in (.*)/,
    (m) => ({
      code: "return-range",
      reg: 0,
      text: `the return value is ${m[1]!.trim().replace(/^unknown scalar value$/, "not known")}; it has to be in ${m[2]}`,
      repair: `return a value in ${m[2]} on every path`,
    }),
  ],
  [
    /(?:function calls are not allowed while holding a lock|bpf_spin_lock|spin_unlock|lock)/,
    (_, c) => ({
      code: "lock",
      text: `the rules of locks are broken: ${c.path.messages.at(-1) ?? ""}`,
      repair: "unlock before calling helpers and on every path before returning; take one lock at a time",
    }),
  ],
  [
    /helper call might sleep in a non-sleepable prog|program must be sleepable to call/,
    () => ({
      code: "sleepable",
      text: "this call may sleep, and the program may not",
      repair: 'make the program sleepable (SEC("fentry.s/...")), or do not call it here',
    }),
  ],
  [
    /misaligned/,
    () => ({
      code: "misaligned",
      text: "the access is not aligned to its size",
      repair: "align the field, or read it byte by byte",
    }),
  ],
  [
    /unreachable insn/,
    () => ({ code: "unreachable", text: "these instructions can never run", repair: "remove them" }),
  ],
];

export function causeOf(
  path: FailingPath,
  verdict: VerifierResult,
  input: VerifierInput,
  kernel: string,
): Cause {
  const text = [...path.messages, verdict.message].join("\n");
  const context: Context = { path, input, kernel, text };
  for (const [pattern, make] of RULES) {
    const m = pattern.exec(text);
    if (m) return make(m, context);
  }
  return { code: "other", text: verdict.message || `rejected with errno ${verdict.errno}` };
}

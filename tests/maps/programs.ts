/** Programs that do one map operation each, for the verbs of notation.ts that a program performs. */
import { assemble } from "../../src/asm/index.ts";
import type { ProgLoadAttr, ProgLoadResult, TestRunAttr, TestRunResult } from "../../src/backend/index.ts";
import {
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_MAP_FD,
  HELPER_PROTOS,
} from "../../src/uapi/index.ts";

export interface ProgramCommands {
  btfLoad(btf: Uint8Array): number;
  progLoad(attr: ProgLoadAttr): ProgLoadResult;
  progTestRun(fd: number, attr: TestRunAttr): TestRunResult;
  close(fd: number): number;
}

/** What a program returns for a null pointer. */
export const NULL = 0xdeadbeef;

const KEY = -64;
const VALUE = -512;

/** Puts bytes on the stack at r10 + `at`. */
function onStack(bytes: Uint8Array, at: number): string {
  const padded = new Uint8Array(Math.ceil(bytes.length / 8) * 8);
  padded.set(bytes);
  const view = new DataView(padded.buffer);
  const lines: string[] = [];
  for (let i = 0; i < padded.length; i += 8)
    lines.push(`r1 = ${view.getBigUint64(i, true)} ll`, `*(u64 *)(r10 + ${at + i}) = r1`);
  return `${lines.join("\n")}\n`;
}

const pointers = (key: boolean): string => `
  r1 = MAP ll
  r2 = r10
  r2 += ${key ? KEY : VALUE}`;

const loadFirst = (size: number): string => `r0 = *(u${Math.min(size, 4) * 8} *)(r0 + 0)`;

/** r0 = the first bytes of the value that r0 points to, or NULL. */
const valueOrNull = (size: number): string => `
  if r0 != 0 goto found
  w0 = ${NULL}
  exit
found:
  ${loadFirst(size === 3 ? 2 : size)}
  exit`;

export interface ProgramInput {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly flags: number;
  readonly valueSize: number;
}

export const PROGRAMS: Readonly<Record<string, (input: ProgramInput) => string>> = {
  lookup: ({ key, valueSize }) =>
    `${onStack(key, KEY)} ${pointers(true)}
     call bpf_map_lookup_elem
     ${valueOrNull(valueSize)}`,
  /** Adds `value` to the first 4 bytes of the value in place. */
  add: ({ key, flags, valueSize }) =>
    `${onStack(key, KEY)} ${pointers(true)}
     call bpf_map_lookup_elem
     if r0 == 0 goto none
     r1 = *(u32 *)(r0 + 0)
     r1 += ${flags}
     *(u32 *)(r0 + 0) = r1
   none:
     ${valueOrNull(valueSize)}`,
  percpu: ({ key, flags, valueSize }) =>
    `${onStack(key, KEY)} ${pointers(true)}
     r3 = ${flags}
     call bpf_map_lookup_percpu_elem
     ${valueOrNull(valueSize)}`,
  update: ({ key, value, flags }) =>
    `${onStack(key, KEY)} ${onStack(value, VALUE)} ${pointers(true)}
     r3 = r10
     r3 += ${VALUE}
     r4 = ${flags}
     call bpf_map_update_elem
     exit`,
  /** Looks the value up, updates the key, and reads through the old pointer. */
  stale: ({ key, value, valueSize }) =>
    `${onStack(key, KEY)} ${onStack(value, VALUE)} ${pointers(true)}
     call bpf_map_lookup_elem
     r6 = r0
     if r6 == 0 goto end
     ${pointers(true)}
     r3 = r10
     r3 += ${VALUE}
     r4 = 0
     call bpf_map_update_elem
   end:
     r0 = r6
     ${valueOrNull(valueSize)}`,
  /** Looks the value up, deletes the key, and reads through the old pointer. */
  deleted: ({ key, valueSize }) =>
    `${onStack(key, KEY)} ${pointers(true)}
     call bpf_map_lookup_elem
     r6 = r0
     if r6 == 0 goto end
     ${pointers(true)}
     call bpf_map_delete_elem
   end:
     r0 = r6
     ${valueOrNull(valueSize)}`,
  delete: ({ key }) =>
    `${onStack(key, KEY)} ${pointers(true)}
     call bpf_map_delete_elem
     exit`,
  push: ({ value, flags }) =>
    `${onStack(value, VALUE)} ${pointers(false)}
     r3 = ${flags}
     call bpf_map_push_elem
     exit`,
  peek: ({ value, valueSize }) =>
    `${onStack(value, VALUE)} ${pointers(false)}
     call bpf_map_peek_elem
     if r0 != 0 goto end
     r0 = r10
     r0 += ${VALUE}
     ${loadFirst(valueSize)}
   end:
     exit`,
  pop: ({ value, valueSize }) =>
    `${onStack(value, VALUE)} ${pointers(false)}
     call bpf_map_pop_elem
     if r0 != 0 goto end
     r0 = r10
     r0 += ${VALUE}
     ${loadFirst(valueSize)}
   end:
     exit`,
  /** Sum of key * value over all elements, until the callback has seen `flags` of them; times 16, plus their number. Its
   *  zero is one that a verifier cannot know, or it would walk every round. */
  each: ({ flags }) => `
     r2 = *(u32 *)(r1 + 0)
     r1 = *(u32 *)(r1 + 0)
     r1 -= r2
     *(u64 *)(r10 - 8) = r1
     *(u64 *)(r10 - 16) = r1
     r1 = MAP ll
     r2 = CALLBACK ll
     r3 = r10
     r3 += -16
     r4 = 0
     call bpf_for_each_map_elem
     r1 = *(u64 *)(r10 - 8)
     r1 <<= 4
     r0 += r1
     exit
   callback:
     r5 = *(u32 *)(r2 + 0)
     r1 = *(u32 *)(r3 + 0)
     r1 *= r5
     r5 = *(u64 *)(r4 + 8)
     r5 += r1
     *(u64 *)(r4 + 8) = r5
     r5 = *(u64 *)(r4 + 0)
     r5 += 1
     *(u64 *)(r4 + 0) = r5
     r0 = 0
     if r5 < ${flags || 1000000} goto more
     r0 = 1
   more:
     exit`,
  /** bpf_ringbuf_output of the value. */
  output: ({ value, flags }) =>
    `${onStack(value, VALUE)} ${pointers(false)}
     r3 = ${value.length}
     r4 = ${flags}
     call bpf_ringbuf_output
     exit`,
  /** Reserves 8 bytes, writes the value's first 8 there, submits; 1 if there was no room. */
  reserve: ({ value }) => `
     ${onStack(value.subarray(0, 8), KEY)}
     r1 = MAP ll
     r2 = 8
     r3 = 0
     call bpf_ringbuf_reserve
     if r0 != 0 goto room
     r0 = 1
     exit
   room:
     r1 = *(u64 *)(r10 + ${KEY})
     *(u64 *)(r0 + 0) = r1
     r1 = r0
     r2 = 0
     call bpf_ringbuf_submit
     r0 = 0
     exit`,
  /** Reserves as many bytes as `flags` says (a constant) and discards; 1 if there was no room. */
  discard: ({ flags }) => `
     r1 = MAP ll
     r2 = ${flags}
     r3 = 0
     call bpf_ringbuf_reserve
     if r0 != 0 goto room
     r0 = 1
     exit
   room:
     r1 = r0
     r2 = 0
     call bpf_ringbuf_discard
     r0 = 0
     exit`,
  query: ({ flags }) => `
     r1 = MAP ll
     r2 = ${flags}
     call bpf_ringbuf_query
     exit`,
  /** Looks up an inner map, and in that the same key. */
  inner: ({ key, valueSize }) =>
    `${onStack(key, KEY)} ${pointers(true)}
     call bpf_map_lookup_elem
     if r0 == 0 goto none
     r1 = r0
     r2 = r10
     r2 += ${KEY}
     call bpf_map_lookup_elem
   none:
     ${valueOrNull(valueSize)}`,
  /** Like that, and updates the inner map. */
  "inner-update": ({ key, value, flags }) =>
    `${onStack(key, KEY)} ${onStack(value, VALUE)} ${pointers(true)}
     call bpf_map_lookup_elem
     if r0 == 0 goto none
     r1 = r0
     r2 = r10
     r2 += ${KEY}
     r3 = r10
     r3 += ${VALUE}
     r4 = ${flags}
     call bpf_map_update_elem
     exit
   none:
     w0 = ${NULL}
     exit`,
};

/** BTF for a program with a callback: `int`, `int (void)`, and the two functions with that type. */
function callbackBtf(): Uint8Array {
  const strings = "\0int\0main\0callback\0";
  const kind = (k: number, vlen = 0): number => (k << 24) | vlen;
  const types = [
    ...[1, kind(1), 4, 0x01000020],
    ...[0, kind(13), 1],
    ...[5, kind(12, 1), 2],
    // Only a static function may be a callback.
    ...[10, kind(12, 0), 2],
  ];
  const out = new Uint8Array(24 + 4 * types.length + strings.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, 0x0001eb9f, true);
  for (const [i, n] of [24, 0, 4 * types.length, 4 * types.length, strings.length].entries())
    view.setUint32(4 + 4 * i, n, true);
  for (const [i, n] of types.entries()) view.setUint32(24 + 4 * i, n, true);
  out.set(new TextEncoder().encode(strings), 24 + 4 * types.length);
  return out;
}

const HELPER_IDS = new Map(HELPER_PROTOS.map((proto) => [proto.name, proto.id]));

/** Loads the program over map `fd`, runs it once; its return value. Throws if it does not load. */
export function runProgram(commands: ProgramCommands, text: string, fd: number): number {
  const named = text.replaceAll(/call (bpf_\w+)/g, (_, name: string) => `call ${HELPER_IDS.get(name)}`);
  // A callback is named by its distance, in slots, from the instruction behind the LD_IMM64's first slot.
  const before = named.slice(0, Math.max(0, named.lastIndexOf("\n", named.indexOf("CALLBACK"))));
  const at = assemble(before, { resolve: () => 0n }).bytes.length;
  const callback = assemble(named, { resolve: () => 0n }).labels.get("callback") ?? 0;
  const { bytes } = assemble(named, {
    resolve: (name) =>
      name === "MAP"
        ? { src: BPF_PSEUDO_MAP_FD, value: fd }
        : { src: BPF_PSEUDO_FUNC, value: BigInt((callback - at) / 8 - 1) },
  });
  const btf = callback === 0 ? -1 : commands.btfLoad(callbackBtf());
  const withBtf = {
    prog_btf_fd: btf,
    func_info: new Uint8Array(new Uint32Array([0, 3, callback / 8, 4]).buffer),
    func_info_rec_size: 8,
  };
  const program = commands.progLoad({
    ...(btf >= 0 ? withBtf : {}),
    prog_type: BPF_PROG_TYPE_SCHED_CLS,
    insns: bytes,
    license: "GPL",
    log_level: 1,
    log_size: 1 << 16,
  });
  if (btf >= 0) commands.close(btf);
  if (program.fd < 0) throw new Error(`PROG_LOAD ${program.fd}\n${text}\n${program.log.slice(-2000)}`);
  try {
    const result = commands.progTestRun(program.fd, { data_in: new Uint8Array(64) });
    if (result.err !== 0) throw new Error(`TEST_RUN ${result.err}\n${text}`);
    return result.retval >>> 0;
  } finally {
    commands.close(program.fd);
  }
}

/** Lookups in maps that the program names, without a call: arrays, and hashes with keys of 4 bytes. */
import { BPF_MAP_TYPE_PERCPU_ARRAY } from "../../uapi/index.ts";
import type { HashLayout, VmMap } from "../engine.ts";
import {
  CPU_ID,
  FRAME_SIZE,
  VM_HASH_KEY,
  VM_HASH_MULTIPLIER,
  VM_HASH_NEXT,
  VM_HASH_SEEN,
} from "../layout.ts";
import {
  I32,
  I64,
  OP_BLOCK,
  OP_BR,
  OP_BR_IF,
  OP_ELSE,
  OP_END,
  OP_I32_ADD,
  OP_I32_AND,
  OP_I32_EQ,
  OP_I32_EQZ,
  OP_I32_LOAD,
  OP_I32_LT_U,
  OP_I32_MUL,
  OP_I32_OR,
  OP_I32_SHL,
  OP_I32_SHR_U,
  OP_I32_STORE,
  OP_I32_XOR,
  OP_IF,
  OP_LOOP,
  OP_SELECT,
  VOID,
} from "../wasm/opcodes.ts";
import { isInlinable } from "./calls.ts";
import type { Emitter } from "./emitter.ts";
import { VALUE_FRAME } from "./values.ts";

/** bpf_map_lookup_elem of `map` with the key that r2 points to, which may be read; false: not looked up inline. */
export function emitLookup(e: Emitter, map: VmMap): boolean {
  if (isInlinable(map)) arrayElement(e, map);
  else if (map.hash4 !== undefined) hashElement(e, map.hash4);
  else return false;
  e.set64(0);
  return true;
}

/** Pushes the key, 4 bytes. */
function pushKey(e: Emitter): void {
  const at = e.values.lo[2];
  if (!isInFrame(e, 2, 4)) {
    e.get32(2);
    e.memory(OP_I32_LOAD, 0);
  } else if (e.facts.frame.at(at) === 4) e.get(e.slot(at, 4));
  else {
    e.frameBase();
    e.memory(OP_I32_LOAD, FRAME_SIZE + at);
  }
}

/** Does `reg` point at `size` bytes of the function's own frame? */
export function isInFrame({ values }: Emitter, reg: number, size: number): boolean {
  const at = values.lo[reg];
  return values.kind[reg] === VALUE_FRAME && at >= -FRAME_SIZE && at <= -size;
}

/** An array's element is an address computation away. */
function arrayElement(e: Emitter, map: VmMap): void {
  const index = e.temp("index", I32);
  pushKey(e);
  e.tee(index);
  e.i32(map.maxEntries);
  e.op(OP_I32_LT_U);
  e.op(OP_IF);
  e.op(I64);
  e.get(index);
  e.i32(map.stride);
  e.op(OP_I32_MUL);
  e.i32(map.values);
  e.op(OP_I32_ADD);
  if (map.type === BPF_MAP_TYPE_PERCPU_ARRAY) {
    e.cpu();
    e.memory(OP_I32_LOAD, CPU_ID);
    e.i32(map.cpuStride);
    e.op(OP_I32_MUL);
    e.op(OP_I32_ADD);
  }
  e.pointer();
  e.op(OP_ELSE);
  e.i64(0, 0);
  e.op(OP_END);
}

/** Walks the key's chain; htab_lookup_4 of core/maps/hash.ts does the same. */
function hashElement(e: Emitter, hash: HashLayout): void {
  const key = e.temp("key4", I32);
  const elem = e.temp("elem", I32);
  const next = e.temp("next", I32);
  const branch = (opcode: number, depth: number): void => {
    e.op(opcode);
    e.out.u32(depth);
  };
  pushKey(e);
  e.tee(key);
  if (hash.seed !== 0) {
    e.i32(hash.seed);
    e.op(OP_I32_XOR);
  }
  e.i32(VM_HASH_MULTIPLIER);
  e.op(OP_I32_MUL);
  e.i32(hash.shift);
  e.op(OP_I32_SHR_U);
  e.i32(2);
  e.op(OP_I32_SHL);
  e.memory(OP_I32_LOAD, hash.buckets);
  e.set(elem);
  e.op(OP_BLOCK); // left where there is no such key
  e.op(VOID);
  e.op(OP_BLOCK); // left with the element
  e.op(VOID);
  // Most chains end with their first element: the loop is for the others.
  const examine = (depth: number): void => {
    e.get(elem);
    e.op(OP_I32_EQZ);
    branch(OP_BR_IF, depth + 1);
    e.get(elem);
    e.memory(OP_I32_LOAD, VM_HASH_KEY);
    e.get(key);
    e.op(OP_I32_EQ);
    branch(OP_BR_IF, depth);
    e.get(elem);
    e.memory(OP_I32_LOAD, VM_HASH_NEXT);
    e.i32(~VM_HASH_SEEN);
    e.op(OP_I32_AND);
    e.set(elem);
  };
  examine(0);
  e.op(OP_LOOP);
  e.op(VOID);
  examine(1);
  branch(OP_BR, 0);
  e.op(OP_END);
  e.op(OP_END);
  e.get(elem);
  e.memory(OP_I32_LOAD, VM_HASH_NEXT);
  e.tee(next);
  e.i32(VM_HASH_SEEN);
  e.op(OP_I32_AND);
  e.op(OP_I32_EQZ);
  e.op(OP_IF);
  e.op(VOID);
  e.get(elem);
  e.get(next);
  e.i32(VM_HASH_SEEN);
  e.op(OP_I32_OR);
  e.memory(OP_I32_STORE, VM_HASH_NEXT);
  e.op(OP_END);
  e.get(elem);
  e.i32(hash.valueOffset);
  e.op(OP_I32_ADD);
  e.set(elem);
  e.op(OP_END);
  e.get(elem);
  e.pointer();
  e.i64(0, 0);
  e.get(elem);
  e.op(OP_SELECT);
}

// BPF_MAP_TYPE_QUEUE and STACK (kernel/bpf/queue_stack_maps.c): a ring of max_entries + 1 places, one always empty.
import {
  MAP_STRIDE,
  MAP_TYPE,
  MAP_VALUE_SIZE,
  MAP_VALUES,
  QUEUE_HEAD,
  QUEUE_SIZE,
  QUEUE_TAIL,
} from "../../src/maps/layout";
import { copyBytes } from "./bytes";
import { BPF_EXIST, BPF_NOEXIST, E2BIG, EINVAL, ENOENT } from "./errno";
import { BPF_MAP_TYPE_STACK } from "./types";

// @ts-ignore: decorator
@inline
function after(map: u32, place: u32): u32 {
  return place + 1 == load<u32>(map, QUEUE_SIZE) ? 0 : place + 1;
}

// @ts-ignore: decorator
@inline
function element(map: u32, place: u32): u32 {
  return load<u32>(map, MAP_VALUES) + place * load<u32>(map, MAP_STRIDE);
}

/** BPF_EXIST: drop the oldest element of a full map. */
export function queue_push(map: u32, value: u32, flags: u64): i32 {
  if (flags & BPF_NOEXIST || flags > BPF_EXIST) return -EINVAL;
  const head = load<u32>(map, QUEUE_HEAD);
  const tail = load<u32>(map, QUEUE_TAIL);
  const next = after(map, head);
  if (next == tail) {
    if (flags != BPF_EXIST) return -E2BIG;
    store<u32>(map, after(map, tail), QUEUE_TAIL);
  }
  copyBytes(element(map, head), value, load<u32>(map, MAP_VALUE_SIZE));
  store<u32>(map, next, QUEUE_HEAD);
  return 0;
}

/** Oldest element of a queue, newest of a stack; an empty map leaves zeros and says -ENOENT. */
export function queue_get(map: u32, value: u32, remove: bool): i32 {
  const size = load<u32>(map, MAP_VALUE_SIZE);
  const head = load<u32>(map, QUEUE_HEAD);
  const tail = load<u32>(map, QUEUE_TAIL);
  if (head == tail) {
    memory.fill(value, 0, size);
    return -ENOENT;
  }
  if (load<u32>(map, MAP_TYPE) == BPF_MAP_TYPE_STACK) {
    const top = (head == 0 ? load<u32>(map, QUEUE_SIZE) : head) - 1;
    copyBytes(value, element(map, top), size);
    if (remove) store<u32>(map, top, QUEUE_HEAD);
  } else {
    copyBytes(value, element(map, tail), size);
    if (remove) store<u32>(map, after(map, tail), QUEUE_TAIL);
  }
  return 0;
}

/** What a pointer that might have been null is once it is known not to be: mark_ptr_not_null_reg(). */
import { BPF_MAP_TYPE_SOCKHASH, BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_XSKMAP } from "../../uapi/index.ts";
import { hasField, mapRecord } from "../btf/btf-record.ts";
import { BPF_TASK_WORK, BPF_TIMER, BPF_WORKQUEUE } from "../btf/field-types.ts";
import type { Env } from "../env.ts";
import type { RegState } from "./reg.ts";
import {
  baseType,
  CONST_PTR_TO_MAP,
  PTR_MAYBE_NULL,
  PTR_TO_MAP_VALUE,
  PTR_TO_SOCKET,
  PTR_TO_XDP_SOCK,
} from "./reg-type.ts";

/** `reg` must be owned. A looked-up value turns into what the map holds: an inner map, a socket. */
export function markPtrNotNull(env: Env, reg: RegState): void {
  const { map } = reg;
  if (baseType(reg.type) !== PTR_TO_MAP_VALUE || map === null) {
    reg.type &= ~PTR_MAYBE_NULL;
    return;
  }
  if (map.inner !== null) {
    reg.type = CONST_PTR_TO_MAP;
    reg.map = map.inner;
    // Timers and work queues must be used with the map that they came from.
    if (hasField(mapRecord(env, map.inner), BPF_TIMER | BPF_WORKQUEUE | BPF_TASK_WORK)) reg.mapUid = reg.id;
  } else if (map.type === BPF_MAP_TYPE_XSKMAP) reg.type = PTR_TO_XDP_SOCK;
  else if (map.type === BPF_MAP_TYPE_SOCKMAP || map.type === BPF_MAP_TYPE_SOCKHASH) reg.type = PTR_TO_SOCKET;
  else reg.type = PTR_TO_MAP_VALUE;
}

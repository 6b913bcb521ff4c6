/** Helpers that work on a special field of a map value: timers, kptrs. process_timer_func(), process_kptr_func(). */
import { EACCES, EFAULT, EINVAL } from "../../uapi/index.ts";
import { type BtfRecord, findField, hasField, mapRecord } from "../btf/btf-record.ts";
import { BPF_KPTR, BPF_KPTR_PERCPU, BPF_KPTR_REF, BPF_TIMER, fieldTypeName } from "../btf/field-types.ts";
import type { Env } from "../env.ts";
import type { MapDescription } from "../map-description.ts";
import { constOffset } from "../state/locks.ts";
import { isConst } from "../state/reg.ts";
import { regRecord, typeIsPtrAllocObj } from "../state/reg-kind.ts";
import type { CallMeta } from "./call-meta.ts";

/** R`regno` points exactly at the one field of that type in a map's value. check_map_field_pointer(). */
export function checkMapFieldPointer(
  env: Env,
  regno: number,
  type: number,
  offsetOf: (record: BtfRecord) => number,
): MapDescription {
  const reg = env.reg(regno);
  const { map } = reg;
  const name = fieldTypeName(type);
  if (!isConst(reg))
    env.reject(EINVAL, `R${regno} doesn't have constant offset. ${name} has to be at the constant offset`);
  if (map === null) return env.bug("a map value without map");
  if (map.btf === null) env.reject(EINVAL, `map '${map.name}' has to have BTF in order to use ${name}`);
  const record = mapRecord(env, map);
  if (record === null || !hasField(record, type))
    return env.reject(EINVAL, `map '${map.name}' has no valid ${name}`);
  const at = offsetOf(record);
  if (BigInt(at) !== constOffset(reg))
    env.reject(EINVAL, `off ${constOffset(reg)} doesn't point to 'struct ${name}' that is at ${at}`);
  return map;
}

export function processTimer(env: Env, regno: number, meta: CallMeta): void {
  const map = checkMapFieldPointer(env, regno, BPF_TIMER, (r) => r.timerOff);
  if (meta.map !== null) env.reject(EFAULT, "verifier bug. Two map pointers in a timer helper");
  meta.map = map;
  meta.mapUid = env.reg(regno).mapUid;
}

export function processKptr(env: Env, regno: number, meta: CallMeta): void {
  const reg = env.reg(regno);
  if (!typeIsPtrAllocObj(reg.type)) {
    const { map } = reg;
    if (map === null) return env.bug("a map value without map");
    if (map.btf === null)
      env.reject(EINVAL, `map '${map.name}' has to have BTF in order to use bpf_kptr_xchg`);
    meta.map = map;
  }
  const record = regRecord(env, reg);
  if (!isConst(reg))
    env.reject(EINVAL, `R${regno} doesn't have constant offset. kptr has to be at the constant offset`);
  if (!hasField(record, BPF_KPTR)) env.reject(EINVAL, `R${regno} has no valid kptr`);
  const off = (reg.off + reg.valueLo) | 0;
  const field = findField(record, off, BPF_KPTR);
  if (field === null) return env.reject(EACCES, `off=${off} doesn't point to kptr`);
  if (field.type !== BPF_KPTR_REF && field.type !== BPF_KPTR_PERCPU)
    env.reject(EACCES, `off=${off} kptr isn't referenced kptr`);
  meta.kptrField = field;
}

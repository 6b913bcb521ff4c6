/** A key on the stack that is a known number: get_constant_map_key(). A lookup in an array with it cannot fail. */
import { BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import type { MapDescription } from "../map-description.ts";
import { toNumberU64 } from "../numbers/int64.ts";
import { markPrecisionBatch } from "../paths/precision.ts";
import { isConst, type RegState } from "../state/reg.ts";
import { PTR_TO_STACK } from "../state/reg-type.ts";
import { isSpilledScalar } from "../state/stack-slots.ts";
import { STACK_SPILL, STACK_ZERO } from "../state/state.ts";

/** can_elide_value_nullness(). */
export function canElideNull(env: Env, map: MapDescription): boolean {
  return (
    env.profile.rules.has("array-lookup-not-null") &&
    (map.type === BPF_MAP_TYPE_ARRAY || map.type === BPF_MAP_TYPE_PERCPU_ARRAY)
  );
}

/** -1: not known. */
export function constantMapKey(env: Env, key: RegState, keySize: number): number {
  if (!env.bpfCapable || key.type !== PTR_TO_STACK || !isConst(key)) return -1;
  const at = -((key.off + key.valueLo) | 0) - 1;
  const spi = at >> 3;
  const off = at & 7;
  const slot = env.state.frames[key.frameno]!.stack[spi];
  if (slot === undefined) return -1;
  const run = (type: number): number => {
    let n = 0;
    for (let i = off; i >= 0 && slot.typeAt(i) === type; i--) n++;
    return n;
  };
  if (run(STACK_ZERO) >= keySize) return 0;
  if (!isSpilledScalar(slot) || run(STACK_SPILL) !== keySize) return -1;
  const value = slot.spilled;
  if (!isConst(value)) return -1;
  markPrecisionBatch(env, env.state, (bt) => bt.setSlot(key.frameno, spi));
  return toNumberU64(value.valueLo, value.valueHi);
}

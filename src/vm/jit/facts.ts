import type { Demand } from "./demand.ts";
import type { FrameSlots } from "./frame.ts";
import type { BpfFunction } from "./program.ts";
import type { BlockValues } from "./values.ts";
import type { Window } from "./windows.ts";

/** What the analyses found out about one BPF function. */
export interface FunctionFacts {
  readonly index: number;
  readonly fn: BpfFunction;
  readonly demand: Demand;
  readonly values: BlockValues;
  readonly views: Views;
  readonly frame: FrameSlots;
  readonly hasLoop: boolean;
  /** Checked mode: pointers whose bounds are looked up where they are made. */
  readonly windows: ReadonlyMap<number, Window>;
}

/**
 * Which views the code of each block expects, as masks of registers. Everything alive is in `wide` or `narrow`, or free;
 * `zext`: the narrow view is the whole value.
 */
export interface Views {
  readonly wide: Uint16Array;
  readonly narrow: Uint16Array;
  readonly zext: Uint16Array;
}

export function chooseViews(demand: Demand, values: BlockValues): Views {
  const count = demand.live.length;
  const views = {
    wide: new Uint16Array(count),
    narrow: new Uint16Array(count),
    zext: new Uint16Array(count),
  };
  for (let b = 0; b < count; b++) {
    const live = demand.live[b];
    for (let r = 0; r < 10; r++) {
      const bit = 1 << r;
      if (!(live & bit) || values.isFree(b, r)) continue;
      if (values.isZext(b, r)) {
        views.narrow[b] |= bit;
        views.zext[b] |= bit;
      } else if (demand.full[b] & bit) views.wide[b] |= bit;
      else views.narrow[b] |= bit;
    }
  }
  return views;
}

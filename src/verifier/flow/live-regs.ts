/** Registers that may be read from an instruction on: compute_live_registers(). */
import type { Slots } from "../../asm/index.ts";
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_CMPXCHG,
  BPF_DW,
  BPF_END,
  BPF_EXIT,
  BPF_FETCH,
  BPF_IMM,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MEM,
  BPF_MEMSX,
  BPF_MOV,
  BPF_ST,
  BPF_STORE_REL,
  BPF_STX,
  BPF_X,
} from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { fallThrough, jumpTarget, type Postorder } from "./flow.ts";

/** R0 to R5. */
const CALLER_SAVED = 0x3f;
const ALL = 0xffff;

/** Registers read, and (bits 16 up) written, by the instruction at `i`. `params`: of the call there, -1: not known. */
function useAndDef(slots: Slots, i: number, params: (i: number) => number): number {
  const op = slots.op[i]!;
  const dst = 1 << slots.dst[i]!;
  const src = 1 << slots.src[i]!;
  const mode = op & 0xe0;
  const opcode = op & 0xf0;
  const fromReg = (op & BPF_X) !== 0;
  let use = ALL;
  let def = 0;
  switch (op & 7) {
    case BPF_LD:
      if (mode === BPF_IMM && (op & 0x18) === BPF_DW) {
        def = dst;
        use = 0;
      }
      break;
    case BPF_LDX:
      if (mode === BPF_MEM || mode === BPF_MEMSX) {
        def = dst;
        use = src;
      }
      break;
    case BPF_ST:
      if (mode === BPF_MEM) use = dst;
      break;
    case BPF_STX:
      if (mode === BPF_MEM) use = dst | src;
      else if (mode === BPF_ATOMIC) {
        const imm = slots.imm[i]!;
        use = dst | src;
        if (imm === BPF_CMPXCHG) {
          use |= 1;
          def = 1;
        } else if (imm === BPF_LOAD_ACQ) {
          use = src;
          def = dst;
        } else if (imm !== BPF_STORE_REL && (imm & BPF_FETCH) !== 0) def = src;
      }
      break;
    case BPF_ALU:
    case BPF_ALU64:
      def = dst;
      if (opcode === BPF_END) use = dst;
      else if (opcode === BPF_MOV) use = fromReg ? src : 0;
      else use = fromReg ? dst | src : dst;
      break;
    case BPF_JMP:
    case BPF_JMP32:
      if (opcode === BPF_JA || opcode === BPF_JCOND) use = 0;
      else if (opcode === BPF_EXIT) use = 1;
      else if (opcode === BPF_CALL) {
        const n = params(i);
        def = CALLER_SAVED;
        use = n < 0 ? CALLER_SAVED & ~1 : ((1 << (n + 1)) - 1) & ~1;
      } else use = fromReg ? dst | src : dst;
      break;
  }
  return use | (def << 16);
}

/**
 * Fills aux.liveRegs. `params`: how many arguments the helper or kfunc called at an instruction takes, -1 if that is not
 * known (functions of the program).
 */
export function computeLiveRegs(env: Env, postorder: Postorder, params: (i: number) => number): void {
  const { slots } = env;
  const live = new Uint16Array(slots.count);
  const info = new Int32Array(slots.count);
  const { order } = postorder;
  for (let n = 0; n < order.length; n++) info[order[n]!] = useAndDef(slots, order[n]!, params);
  for (let changed = true; changed; ) {
    changed = false;
    for (let n = 0; n < order.length; n++) {
      const i = order[n]!;
      const next = fallThrough(slots, i);
      const target = jumpTarget(slots, i);
      let out = 0;
      if (next >= 0 && next < slots.count) out |= live[next]!;
      if (target >= 0) out |= live[target]!;
      const before = (out & ~(info[i]! >>> 16)) | (info[i]! & ALL);
      if (before === live[i]) continue;
      live[i] = before;
      changed = true;
    }
  }
  for (let i = 0; i < slots.count; i++) env.aux[i]!.liveRegs = live[i]!;
}

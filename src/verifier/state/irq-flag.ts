/** Saved IRQ flags on the stack, a slot of STACK_IRQ_FLAG: process_irq_flag(). They are restored in reverse order. */
import { EACCES, EFAULT, EINVAL } from "../../uapi/index.ts";
import type { Env } from "../env.ts";
import { checkMemAccess } from "../memory/mem-access.ts";
import { objectSpi, SPI_OUT_OF_RANGE, setSlot } from "./dynptr.ts";
import { acquireIrq, releaseIrq } from "./references.ts";
import { RegState } from "./reg.ts";
import { markKnownZero } from "./reg-ops.ts";
import { PTR_TO_STACK } from "./reg-type.ts";
import { BPF_REG_SIZE, STACK_IRQ_FLAG } from "./state.ts";

const WHO = ["", "native", "lock"];

/** `by`: IRQ_NATIVE or IRQ_LOCK, who saves or restores. */
export function processIrqFlag(env: Env, regno: number, save: boolean, by: number): void {
  const reg = env.reg(regno);
  const frame = env.state.frames[reg.frameno]!;
  const spi = objectSpi(env, reg, "irq_flag", 1);
  const is = (j: number): boolean => frame.stack[spi]!.typeAt(j) === STACK_IRQ_FLAG;
  const bytes = Array.from({ length: BPF_REG_SIZE }, (_, j) => j);
  if (save) {
    if ((spi < 0 && spi !== SPI_OUT_OF_RANGE) || (spi >= 0 && bytes.some(is)))
      env.reject(EINVAL, `expected uninitialized irq flag as arg#${regno - 1}`);
    checkMemAccess(env, env.insnIdx, regno, 0, 8, true, -1, false, false);
    const at = objectSpi(env, reg, "irq_flag", 1);
    if (at < 0) env.reject(-at, "");
    const st = new RegState();
    markKnownZero(st);
    st.type = PTR_TO_STACK;
    st.refObjId = acquireIrq(env, env.insnIdx);
    st.irqClass = by;
    setSlot(env, frame, at, STACK_IRQ_FLAG, st);
    env.markSlotScratched(at);
    return;
  }
  if (spi < 0 || frame.stack[spi]!.spilled.refObjId === 0 || !bytes.every(is))
    env.reject(EINVAL, `expected an initialized irq flag as arg#${regno - 1}`);
  env.markSlotScratched(spi);
  env.stackLiveness?.markRead(env, reg.frameno, env.insnIdx, spi);
  const { irqClass, refObjId } = frame.stack[spi]!.spilled;
  if (irqClass !== by)
    env.reject(
      EINVAL,
      `irq flag acquired by ${WHO[irqClass]} kfuncs cannot be restored with ${WHO[by]} kfuncs`,
    );
  const errno = releaseIrq(env, refObjId);
  if (errno === EACCES) {
    const { state } = env;
    const taken = state.refs.find((ref) => ref.id === state.activeIrqId)?.insnIdx ?? 0;
    env.reject(
      EACCES,
      `cannot restore irq state out of order, expected id=${state.activeIrqId} acquired at insn_idx=${taken}`,
    );
  }
  if (errno !== 0) env.reject(EFAULT, "");
  setSlot(env, frame, spi, 0, new RegState());
  env.markSlotScratched(spi);
}

// What BPF_PROG_TEST_RUN answers (bpf_ctx_init, bpf_ctx_finish, bpf_test_finish in net/bpf/test_run.c).
import type { TestRunAttr, TestRunResult } from "../../backend/index.ts";
import { PAGE_SIZE } from "../../helpers/index.ts";
import { E2BIG, ENOSPC } from "../../uapi/index.ts";

const NOTHING = new Uint8Array(0);

export function failed(err: number): TestRunResult {
  return {
    err,
    retval: 0,
    duration: 0,
    data_out: NOTHING,
    data_size_out: 0,
    ctx_out: NOTHING,
    ctx_size_out: 0,
  };
}

/** The context that the caller gave, zero-padded to `size`; undefined: none was given or asked for. */
export function contextIn(attr: TestRunAttr, size: number): Uint8Array | undefined | number {
  const given = attr.ctx_in;
  if (!given?.length && !attr.ctx_size_out) return undefined;
  const ctx = new Uint8Array(size);
  if (given === undefined) return ctx;
  // bpf_check_uarg_tail_zero()
  if (given.length > PAGE_SIZE) return -E2BIG;
  for (let i = size; i < given.length; i++) if (given[i] !== 0) return -E2BIG;
  ctx.set(given.subarray(0, size));
  return ctx;
}

/** Members `from` up to (not including) `to` are all zero. */
export function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}

export interface Outcome {
  readonly retval: number;
  readonly duration: number;
  readonly data: Uint8Array;
  /** Bytes of `data` in fragments. */
  readonly fragsSize?: number;
  readonly ctx: Uint8Array | undefined;
}

/** data_out as the kernel fills it: where the buffer is short, the linear part gives way to the fragments. */
function dataOut(data: Uint8Array, room: number, fragsSize: number): Uint8Array {
  if (room === 0) return NOTHING;
  if (room >= data.length || fragsSize === 0) return data.slice(0, room);
  const out = data.slice(0, room);
  out.set(data.subarray(data.length - fragsSize), room - fragsSize);
  return out;
}

/** Cuts data and context to what the caller has room for. */
export function finished(attr: TestRunAttr, outcome: Outcome): TestRunResult {
  const { data, ctx, retval, duration, fragsSize = 0 } = outcome;
  const room = attr.data_size_out ?? 0;
  let err = room !== 0 && data.length > room ? -ENOSPC : 0;
  // Not even the fragments fit: the kernel leaves everything as it was.
  if (err !== 0 && room < fragsSize)
    return { ...failed(err), data_out: new Uint8Array(room), data_size_out: room };
  let ctxOut: Uint8Array = NOTHING;
  let ctxSize = 0;
  if (err === 0 && ctx !== undefined && attr.ctx_size_out) {
    if (ctx.length > attr.ctx_size_out) err = -ENOSPC;
    ctxOut = ctx.slice(0, attr.ctx_size_out);
    ctxSize = ctx.length;
  }
  return {
    err,
    retval,
    duration,
    data_out: dataOut(data, room, fragsSize),
    data_size_out: data.length,
    ctx_out: ctxOut,
    ctx_size_out: ctxSize,
  };
}

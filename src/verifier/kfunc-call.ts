/** Calls of kernel functions: check_kfunc_call(). */
import { EINVAL } from "../uapi/index.ts";
import type { Env } from "./env.ts";

export function checkKfuncCall(env: Env, _insnIdx: number): void {
  env.reject(EINVAL, "calls of kernel functions are not checked yet");
}

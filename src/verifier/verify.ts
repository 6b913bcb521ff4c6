/** One program from bytes to verdict: bpf_check(). */
import { decodeSlots } from "../asm/index.ts";
import type { Btf } from "../btf/index.ts";
import * as U from "../uapi/index.ts";
import { isGplCompatible } from "../uapi/index.ts";
import { prepareAnalysis } from "./analysis.ts";
import { callParams } from "./calls/helper-proto.ts";
import { Env, type InsnAux, Rejection } from "./env.ts";
import { checkCfg } from "./flow/cfg.ts";
import { markFastcallPatterns, shrinkFastcallStacks } from "./flow/fastcall.ts";
import { checkMaxStackDepth } from "./flow/stack-depth.ts";
import { addSubprogsAndKfuncs, checkSubprogs } from "./flow/subprog.ts";
import type { VerifierInput, VerifierOptions, VerifierResult } from "./input.ts";
import { newLog, printStats } from "./log/log.ts";
import { exploreAll } from "./paths/explore.ts";
import type { Profile } from "./profile.ts";
import { checkAttach } from "./program/attach.ts";
import { checkBtfInfo, checkFuncInfoEarly } from "./program/btf-info.ts";
import { checkLoad, fixedAttachType } from "./program/load-checks.ts";
import { resolvePseudoLdImm64 } from "./program/resolve.ts";
import { rewrite } from "./rewrite.ts";

function newAux(): InsnAux {
  return {
    seen: false,
    prunePoint: false,
    forceCheckpoint: false,
    jmpPoint: false,
    jumpTarget: false,
    callsCallback: false,
    isIterNext: false,
    scc: 0,
    liveRegs: 0,
    mapIndex: -1,
    mapOffset: 0,
    tailCallMap: null,
    tailCallMapsDiffer: false,
    btfVarType: 0,
    btfVarId: 0,
    btfVarBtf: null,
    btfVarMemSize: 0,
    ptrType: 0,
    aluState: 0,
    aluLimit: 0,
    sanitizeStackSpill: false,
    nospec: false,
    nospecResult: false,
    zextDst: false,
    storageGetFuncAtomic: false,
    callWithPercpuAllocPtr: false,
    needsZext: false,
    fastcallPattern: 0,
    fastcallSpillsNum: 0,
    argProg: 0,
  };
}

/** What the loader's capabilities and the flags come to. */
function setPrivileges(env: Env): void {
  const { bpf = true, perfmon = true, sysAdmin = true } = env.input.caps ?? {};
  const flags = env.input.progFlags;
  const bpfCap = bpf || sysAdmin;
  const perfmonCap = perfmon || sysAdmin;
  env.bpfCapable = bpfCap;
  env.allowPtrLeaks = perfmonCap;
  env.allowUninitStack = perfmonCap && env.profile.rules.has("privileged-uninit-stack");
  env.bypassSpecV1 = perfmonCap;
  env.bypassSpecV4 = perfmonCap;
  // x86 reads and writes at any address.
  env.strictAlignment = (flags & U.BPF_F_STRICT_ALIGNMENT) !== 0 && (flags & U.BPF_F_ANY_ALIGNMENT) === 0;
  env.testStateFreq = bpfCap && (flags & U.BPF_F_TEST_STATE_FREQ) !== 0;
  env.testRegInvariants = (flags & U.BPF_F_TEST_REG_INVARIANTS) !== 0;
  env.testRndHi32 = (flags & U.BPF_F_TEST_RND_HI32) !== 0;
  env.inSleepableProg = (flags & U.BPF_F_SLEEPABLE) !== 0;
}

/** Program and attach type; an extension stands for what it replaces. resolve_prog_type(). */
function setTypes(env: Env): void {
  const { input } = env;
  env.progType = input.progType;
  env.expectedAttachType = fixedAttachType(input.progType, input.expectedAttachType);
  env.gplCompatible = isGplCompatible(input.license);
  const target = input.attach?.program ?? null;
  env.resolvedProgType =
    input.progType === U.BPF_PROG_TYPE_EXT && target !== null ? target.progType : input.progType;
}

function check(env: Env): void {
  checkFuncInfoEarly(env);
  addSubprogsAndKfuncs(env);
  checkSubprogs(env);
  checkBtfInfo(env);
  resolvePseudoLdImm64(env);
  checkCfg(env);
  checkAttach(env);
  prepareAnalysis(env, (i) => callParams(env, i));
  markFastcallPatterns(env);
  exploreAll(env);
  shrinkFastcallStacks(env);
  checkMaxStackDepth(env);
  checkTailCallMaps(env);
}

/** Without Spectre mitigations to care for, a tail call may find its map at run time; else it must be known. do_misc_fixups(). */
function checkTailCallMaps(env: Env): void {
  if (env.bypassSpecV1) return;
  for (const aux of env.aux) if (aux.tailCallMapsDiffer) env.reject(U.EINVAL, "tail_call abusing map_ptr");
}

function result(env: Env, errno: number, insn: number, start: number): VerifierResult {
  const message = errno === 0 ? "" : lastLine(env.log.text());
  printStats(env, performance.now() - start);
  return {
    ok: errno === 0,
    errno,
    log: env.log.text(),
    message,
    insn: errno === 0 ? -1 : insn,
    stats: {
      processed: env.processed,
      totalStates: env.totalStates,
      peakStates: env.peakStates,
      maxStatesPerInsn: env.maxStatesPerInsn,
      stackDepths: env.subprogs.map((s) => s.stackDepth),
      timeMs: performance.now() - start,
    },
    program: errno === 0 ? rewrite(env) : null,
  };
}

function lastLine(text: string): string {
  const end = text.endsWith("\n") ? text.length - 1 : text.length;
  return text.slice(text.lastIndexOf("\n", end - 1) + 1, end);
}

/** Program bytes that are not whole slots count as none: the kernel is told a number of instructions. */
function wholeSlots(insns: Uint8Array): Uint8Array {
  return insns.subarray(0, insns.length & ~7);
}

/**
 * Says what the kernel of `profile` would say to BPF_PROG_LOAD of `input`: verdict, errno, log. Nothing is thrown for a
 * program, however broken; an InternalError is a bug of ours.
 */
export function verify(
  input: VerifierInput,
  profile: Profile,
  kernelBtf: Btf | null,
  options: VerifierOptions = {},
): VerifierResult {
  const start = performance.now();
  const slots = decodeSlots(wholeSlots(input.insns));
  const aux: InsnAux[] = [];
  for (let i = 0; i < slots.count; i++) aux.push(newAux());
  const log = newLog(options.logLevel ?? 0);
  const env = new Env(input, options, profile, kernelBtf, log, slots, aux);
  setPrivileges(env);
  setTypes(env);
  const errno = checkLoad(input, profile);
  if (errno !== 0) {
    return {
      ok: false,
      errno,
      log: "",
      message: "",
      insn: -1,
      stats: {
        processed: 0,
        totalStates: 0,
        peakStates: 0,
        maxStatesPerInsn: 0,
        stackDepths: [],
        timeMs: performance.now() - start,
      },
      program: null,
    };
  }
  try {
    check(env);
    return result(env, 0, -1, start);
  } catch (e) {
    if (!(e instanceof Rejection)) throw e;
    return result(env, e.errno, e.insn, start);
  }
}

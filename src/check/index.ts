/** What an object's programs are told by a kernel that need not be there. */

export { type Explanation, explain, formatExplanation, type SourcePlace } from "./explain.ts";
export { type CheckInputOptions, describeMap, verifierInput } from "./input.ts";
export { fetchKernelBtf, kernelBtfUrl, unpackKernelBtf } from "./kernel-btf.ts";
export { type CheckOptions, type CheckResult, checkProgram } from "./program.ts";

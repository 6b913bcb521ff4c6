export { BpfLinker, type FinishOptions, linkObjects } from "./linker.ts";

// perf_event_open(2) for programs: kprobes and uprobes through their PMUs, tracepoints through tracefs' numbers.
import { readFileSync } from "node:fs";
import type { PerfEventSpec } from "../backend/index.ts";
import { ENOENT, EOPNOTSUPP } from "../uapi/index.ts";
import { PERF_EVENT_ATTR } from "./attr.ts";
import { type FieldValue, packStruct } from "./struct.ts";
import type { Syscalls } from "./syscall.ts";

const PERF_TYPE_TRACEPOINT = 2;
const PERF_FLAG_FD_CLOEXEC = 8;
const FLAG_FREQ = 1n << 10n;
/** perf_event_attr.config of a uprobe carries the reference counter's offset in its upper half. */
const REF_CTR_SHIFT = 32n;

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** The PMU's number, and which bit of config makes it a return probe. */
function probePmu(name: "kprobe" | "uprobe"): { type: number; retprobe: bigint } | undefined {
  const base = `/sys/bus/event_source/devices/${name}`;
  const type = readText(`${base}/type`);
  const bit = readText(`${base}/format/retprobe`);
  if (type === undefined) return undefined;
  return { type: Number(type), retprobe: 1n << BigInt(bit?.replace("config:", "") ?? 0) };
}

function tracepointId(category: string, name: string): number | undefined {
  for (const base of ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]) {
    const id = readText(`${base}/events/${category}/${name}/id`);
    if (id !== undefined) return Number(id);
  }
  return undefined;
}

export function openPerfEvent(sys: Syscalls, event: PerfEventSpec): number {
  let values: Record<string, FieldValue>;
  // Kept here so that the buffer outlives the call.
  let name: Uint8Array | undefined;
  const path = (text: string): bigint => {
    name = new TextEncoder().encode(`${text}\0`);
    return sys.address(name);
  };
  switch (event.kind) {
    case "kprobe":
    case "kretprobe": {
      const pmu = probePmu("kprobe");
      if (pmu === undefined) return -EOPNOTSUPP;
      const named = typeof event.symbol === "string";
      values = {
        type: pmu.type,
        config: event.kind === "kretprobe" ? pmu.retprobe : 0n,
        config1: named ? path(event.symbol as string) : 0n,
        config2: named ? (event.offset ?? 0) : (event.symbol as bigint),
      };
      break;
    }
    case "uprobe":
    case "uretprobe": {
      const pmu = probePmu("uprobe");
      if (pmu === undefined) return -EOPNOTSUPP;
      values = {
        type: pmu.type,
        config:
          (event.kind === "uretprobe" ? pmu.retprobe : 0n) |
          (BigInt(event.refCtrOffset ?? 0) << REF_CTR_SHIFT),
        config1: path(event.path),
        config2: event.offset,
      };
      break;
    }
    case "tracepoint": {
      const id = tracepointId(event.category, event.name);
      if (id === undefined) return -ENOENT;
      values = { type: PERF_TYPE_TRACEPOINT, config: id };
      break;
    }
    case "event":
      values = {
        type: event.type,
        config: event.config,
        sample_period: event.sampleFreq === undefined ? event.samplePeriod : BigInt(event.sampleFreq),
        flag_bits: event.sampleFreq === undefined ? 0n : FLAG_FREQ,
      };
      break;
  }
  const attr = new Uint8Array(PERF_EVENT_ATTR.size);
  packStruct(PERF_EVENT_ATTR, { ...values, size: attr.length }, attr);
  const pid = event.pid ?? -1;
  // Every event wants a task or a CPU; a probe fires on all CPUs whichever is named.
  return sys.perfEventOpen(attr, pid, event.cpu ?? (pid === -1 ? 0 : -1), -1, PERF_FLAG_FD_CLOEXEC);
}

// tsbpf feature: what a kernel takes, found out by trying, with the keys of bpftool's feature probe.
import { Command } from "commander";
import { Kernel } from "../kernel/index.ts";
import {
  type Features,
  LinuxBackend,
  probeFeatures,
  readSystemConfig,
  type SystemConfig,
} from "../linux/index.ts";
import { print, printJson } from "./output.ts";

interface FeatureOptions {
  readonly linux?: boolean;
  readonly full?: boolean;
  readonly json?: boolean;
}

export function featureCommand(): Command {
  return new Command("feature")
    .description(
      "what the embedded kernel takes, or the running one: program and map types, helpers, instructions",
    )
    .option("--linux", "ask the running kernel (as root, with the package koffi)")
    .option("--full", "also helpers whose loading makes the kernel write to its log")
    .option("-j, --json", "print JSON")
    .action(feature);
}

async function feature(options: FeatureOptions): Promise<void> {
  const backend = options.linux ? await LinuxBackend.open() : new Kernel();
  const features = probeFeatures(backend, { all: options.full === true });
  const system = options.linux ? readSystemConfig() : undefined;
  if (options.json)
    printJson({
      ...(system === undefined ? {} : { system_config: system, syscall_config: { have_bpf_syscall: true } }),
      ...features,
    });
  else print(formatFeatures(features, system));
}

function formatFeatures(features: Features, system: SystemConfig | undefined): string {
  const flags = (title: string, rows: Readonly<Record<string, boolean>>, suffix: string): string => {
    const lines = Object.entries(rows).map(([key, value]) => {
      const name = key.replace(/^have_/, "").replace(new RegExp(`${suffix}$`), "");
      return `  ${name.padEnd(28)} ${value ? "yes" : "no"}`;
    });
    return `${title}\n${lines.join("\n")}\n`;
  };
  const settings = Object.entries(system ?? {}).map(
    ([key, value]) => `  ${key.padEnd(36)} ${value ?? "not set"}`,
  );
  const helpers = Object.entries(features.helpers).map(
    ([key, names]) => `  ${key.replace("_available_helpers", "")} (${names.length})\n${wrap(names)}`,
  );
  return [
    ...(settings.length > 0 ? [`system\n${settings.join("\n")}\n`] : []),
    flags("program types", features.program_types, "_prog_type"),
    flags("map types", features.map_types, "_map_type"),
    flags("instructions and limits", features.misc, ""),
    `helpers by program type\n${helpers.join("\n")}\n`,
  ].join("\n");
}

function wrap(names: readonly string[]): string {
  const lines: string[] = [];
  let line = "   ";
  for (const name of names) {
    if (line.length + name.length + 1 > 116) {
      lines.push(line);
      line = "   ";
    }
    line += ` ${name}`;
  }
  return [...lines, line].join("\n");
}

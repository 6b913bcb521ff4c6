// tsbpf map dump: an object's maps, as they start or after a run.
import { Command } from "commander";
import { chooseMaps, formatMap, mapRows } from "./map-rows.ts";
import { chooseProgram, openObject } from "./object.ts";
import { inFile, print, printJson } from "./output.ts";
import { addSessionOptions, Session, type SessionOptions } from "./session.ts";

interface DumpOptions extends SessionOptions {
  readonly map?: string;
  readonly json?: boolean;
}

export function mapCommand(): Command {
  const map = new Command("map").description("maps of an object file");
  map.addCommand(
    addSessionOptions(
      new Command("dump")
        .description(
          "print the maps' entries: as loaded, or after a run that --pcap, --data or --ctx ask for",
        )
        .argument("<obj>", "BPF object file; - is standard input")
        .option("--map <name>", "this map only"),
    )
      .option("-j, --json", "print JSON")
      .action(dump),
  );
  return map;
}

async function dump(path: string, options: DumpOptions): Promise<void> {
  Session.check(options);
  const object = openObject(path);
  const runs = Session.wantsInput(options);
  const program = runs || options.prog !== undefined ? chooseProgram(object, path, options.prog) : undefined;
  // Nothing runs: the maps alone are wanted, and programs need not load.
  if (!runs) for (const other of object.programList) other.autoload = false;
  const session = inFile(path, () => new Session(object, runs ? program : undefined, options));
  const maps = chooseMaps(session.loaded, path, options.map);
  if (options.pcap !== undefined) await session.runCapture(program!, options.pcap);
  else if (runs) session.runOnce(program!);
  const rows = maps.map((map) => mapRows(session.loaded, map));
  if (options.json) printJson(options.map === undefined ? { maps: rows } : rows[0]);
  else print(rows.map(formatMap).join("\n"));
}

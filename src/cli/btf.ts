// tsbpf btf dump: the types of an object, or of a file of raw BTF such as /sys/kernel/btf/vmlinux.
import { Command } from "commander";
import { type Btf, btfRawRow, btfRawText, parseBtf } from "../btf/index.ts";
import { BtfError } from "../diag/index.ts";
import { parseElf } from "../elf/index.ts";
import { readFile } from "../platform/node.ts";
import { inFile, isElf, print, printJson } from "./output.ts";

interface DumpOptions {
  readonly baseBtf?: string;
  readonly json?: boolean;
}

export function btfCommand(): Command {
  const btf = new Command("btf").description("type information");
  btf.addCommand(
    new Command("dump")
      .description("print all types of an object file or of raw BTF, as `bpftool btf dump ... format raw`")
      .argument("<file>", "object or raw BTF; - is standard input")
      .option("-B, --base-btf <file>", "BTF that a module's (split) BTF builds on")
      .option("-j, --json", "print JSON")
      .action(dump),
  );
  return btf;
}

function dump(path: string, options: DumpOptions): void {
  const base = options.baseBtf === undefined ? undefined : readBtf(options.baseBtf);
  const btf = readBtf(path, base);
  if (options.json) {
    const types = [];
    for (let id = btf.startId; id < btf.typeCount; id++) types.push(btfRawRow(btf, id));
    printJson({ types });
    return;
  }
  let text = "";
  for (let id = btf.startId; id < btf.typeCount; id++) {
    text += `${btfRawText(btf, id)}\n`;
    if (text.length > 1 << 16) {
      print(text);
      text = "";
    }
  }
  print(text);
}

function readBtf(path: string, base?: Btf): Btf {
  const bytes = readFile(path);
  const options = base === undefined ? {} : { base };
  return inFile(path, () => {
    if (!isElf(bytes)) return parseBtf(bytes, options);
    const section = parseElf(bytes).sections.find(({ name }) => name === ".BTF");
    if (section === undefined) throw new BtfError("no .BTF section; compile with -g to get one");
    return parseBtf(section.data, options);
  });
}

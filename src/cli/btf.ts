// tsbpf btf dump: the types of an object, or of a file of raw BTF such as /sys/kernel/btf/vmlinux.
import { Command } from "commander";
import { type Btf, btfRawJson, btfRawText, dumpHeader, parseBtf } from "../btf/index.ts";
import { BtfError } from "../diag/index.ts";
import { parseElf } from "../elf/index.ts";
import { readFile } from "../platform/node.ts";
import { inFile, isElf, print, UsageError } from "./output.ts";

interface DumpOptions {
  readonly baseBtf?: string;
  readonly json?: boolean;
  readonly pretty?: boolean;
}

export function btfCommand(): Command {
  const btf = new Command("btf").description("type information");
  btf.addCommand(
    new Command("dump")
      .description("print all types of an object file or of raw BTF, as `bpftool btf dump file FILE`")
      .usage("[options] [file] FILE [format raw | format c [unsorted]]")
      .argument("<words...>", "FILE: object or raw BTF; - is standard input")
      .option("-B, --base-btf <file>", "BTF that a module's (split) BTF builds on")
      .option("-j, --json", "print JSON (format raw)")
      .option("-p, --pretty", "print JSON on many lines")
      .action(dump),
  );
  return btf;
}

type Format = "raw" | "c" | "c unsorted";

/** bpftool's words: `file` may stand before the path, `format ...` after it. */
function parseWords(words: readonly string[]): { path: string; format: Format } {
  const [path = "", ...rest] =
    words[0] === "file" && words.length > 1 && words[1] !== "format" ? words.slice(1) : words;
  const format = rest.length === 0 ? "raw" : rest.slice(1).join(" ");
  const known = format === "raw" || format === "c" || format === "c unsorted";
  if (!known || (rest.length > 0 && rest[0] !== "format"))
    throw new UsageError(
      `unknown words after ${path}: ${rest.join(" ")}; want: format raw | format c [unsorted]`,
    );
  return { path, format };
}

function dump(words: readonly string[], options: DumpOptions): void {
  const { path, format } = parseWords(words);
  const json = options.json === true || options.pretty === true;
  if (json && format !== "raw") throw new UsageError("JSON is a form of format raw");
  const base = options.baseBtf === undefined ? undefined : readBtf(options.baseBtf);
  const btf = readBtf(path, base);
  let text = "";
  inFile(path, () => {
    for (const piece of pieces(btf, format, json, options.pretty === true)) {
      text += piece;
      if (text.length > 1 << 16) {
        print(text);
        text = "";
      }
    }
  });
  print(text);
}

function* pieces(
  btf: Btf,
  format: Format,
  json: boolean,
  pretty: boolean,
): Generator<string, void, undefined> {
  if (json) yield* btfRawJson(btf, { pretty });
  else if (format === "raw")
    for (let id = btf.startId; id < btf.typeCount; id++) yield `${btfRawText(btf, id)}\n`;
  else yield* dumpHeader(btf, { unsorted: format === "c unsorted" });
}

/** The type information of an object, or a file of raw BTF. */
export function readBtf(path: string, base?: Btf): Btf {
  const bytes = readFile(path);
  const options = base === undefined ? {} : { base };
  return inFile(path, () => {
    if (!isElf(bytes)) return parseBtf(bytes, options);
    const section = parseElf(bytes).sections.find(({ name }) => name === ".BTF");
    if (section === undefined) throw new BtfError("no .BTF section; compile with -g to get one");
    return parseBtf(section.data, options);
  });
}

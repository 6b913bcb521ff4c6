/**
 * A case of the map contract in a few words. One operation a line, what it must give after `=`:
 *
 *   # name of the case
 *   map HASH 4 8 2 NO_PREALLOC = 0          type, key_size, value_size, max_entries, flags, inner=NAME, extra=N, as NAME
 *   update 1 10 NOEXIST = 0                 key, value, flags
 *   lookup 1 = 10                           lookup-and-delete is `pop`; `peek V` asks a bloom filter
 *   delete 2 = ENOENT
 *   next - = 1                              `-` is a null pointer
 *   keys = 1 3                              all keys by get_next_key, sorted
 *   freeze = 0
 *   prog lookup 1 = 10                      a program's operation (programs.ts): key or -, value or -, flags
 *   drain = 5 6                             records of a ring buffer, as numbers
 *
 * Numbers are little-endian in as many bytes as the map says; `10|20` is a value of two CPUs (the others' are 0);
 * `10.1.0.0/16` a key of an LPM trie; `@NAME` the fd of another map of the case; `x:00ff` plain bytes.
 */
import * as uapi from "../../src/uapi/index.ts";
import { NULL, PROGRAMS, type ProgramCommands, runProgram } from "./programs.ts";

/** The commands that a case uses: any Backend has them. */
export interface MapCommands {
  readonly possibleCpus: number;
  mapCreate(attr: MapCase["attr"]): number;
  mapLookupElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): number;
  mapUpdateElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): number;
  mapDeleteElem(fd: number, key: Uint8Array | null): number;
  mapGetNextKey(fd: number, key: Uint8Array | null, nextKey: Uint8Array): number;
  mapLookupAndDeleteElem(fd: number, key: Uint8Array | null, value: Uint8Array, flags?: number): number;
  mapFreeze(fd: number): number;
  close(fd: number): number;
}

/** What the verbs `prog` and `drain` want besides. */
export interface KernelCommands extends MapCommands, ProgramCommands {
  ringbufConsume(fd: number, onRecord: (data: Uint8Array) => void): number;
}

interface MapCase {
  readonly attr: {
    map_type: number;
    key_size: number;
    value_size: number;
    max_entries: number;
    map_flags: number;
    map_name?: string;
    inner_map_fd?: number;
    map_extra?: bigint;
  };
}

export interface NotedCase {
  readonly name: string;
  readonly lines: readonly string[];
}

/** Splits a text of cases at its `# name` lines. */
export function casesOf(text: string): NotedCase[] {
  const cases: { name: string; lines: string[] }[] = [];
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (line.startsWith("# ")) cases.push({ name: line.slice(2), lines: [] });
    else if (line !== "") cases.at(-1)!.lines.push(line);
  }
  return cases;
}

const constants = uapi as unknown as Readonly<Record<string, number>>;

function constant(prefix: string, word: string): number {
  if (/^(0x)?[0-9a-f]+$/i.test(word) && !/^[A-F]/.test(word)) return Number(word);
  const value = constants[`${prefix}${word}`];
  if (value === undefined) throw new Error(`no constant ${prefix}${word}`);
  return value;
}

function flagsOf(prefixes: readonly string[], word: string | undefined): number {
  if (word === undefined) return 0;
  return word.split("|").reduce((sum, part) => {
    const prefix = prefixes.find((p) => constants[`${p}${part}`] !== undefined) ?? "";
    return sum + constant(prefix, part);
  }, 0);
}

interface OpenMap {
  readonly fd: number;
  readonly attr: MapCase["attr"];
  readonly keySize: number;
  readonly valueSize: number;
  readonly perCpu: number;
}

function bytes(word: string, size: number): Uint8Array {
  const out = new Uint8Array(size);
  if (word.startsWith("x:")) {
    out.set(Uint8Array.from(word.slice(2).match(/../g)!, (hex) => Number.parseInt(hex, 16)));
    return out;
  }
  let n = BigInt.asUintN(64, BigInt(word));
  for (let i = 0; i < size; i++, n >>= 8n) out[i] = Number(n & 0xffn);
  return out;
}

function lpmKey(word: string, size: number): Uint8Array {
  const [address, length] = word.split("/");
  const out = new Uint8Array(size);
  out.set(bytes(length, 4));
  out.set(
    address
      .split(".")
      .map(Number)
      .slice(0, size - 4),
    4,
  );
  return out;
}

function number(from: Uint8Array): string {
  let n = 0n;
  for (let i = from.length - 1; i >= 0; i--) n = (n << 8n) | BigInt(from[i]);
  return n.toString();
}

/** Runs a case; returns the lines with what really came after `=`, to be compared with the case's own. */
export function runCase(noted: NotedCase, commands: MapCommands | KernelCommands): string[] {
  const named = new Map<string, OpenMap>();
  const fds: number[] = [];
  let map: OpenMap | undefined;
  const errno = (n: number): string => (n === 0 ? "0" : uapi.errnoName(n));

  const keyOf = (word: string): Uint8Array | null => {
    if (word === "-") return null;
    if (word.includes("/")) return lpmKey(word, map!.keySize);
    // For a map without keys, something whose address is not null.
    return bytes(word, map!.keySize || 4);
  };
  const keyText = (key: Uint8Array): string =>
    map!.attr.map_type === uapi.BPF_MAP_TYPE_LPM_TRIE
      ? `${[...key.subarray(4)].join(".")}/${number(key.subarray(0, 4))}`
      : number(key);
  const valueBytes = (word: string): Uint8Array => {
    if (word.startsWith("@")) return bytes(String(named.get(word.slice(1))?.fd ?? 0), 4);
    if (map!.perCpu === 0) return bytes(word, map!.valueSize);
    const out = new Uint8Array(map!.valueSize);
    word.split("|").forEach((part, cpu) => {
      out.set(bytes(part, map!.attr.value_size), cpu * map!.perCpu);
    });
    return out;
  };
  const valueText = (value: Uint8Array): string => {
    if (map!.perCpu === 0) return number(value);
    return [0, 1]
      .map((cpu) => number(value.subarray(cpu * map!.perCpu, cpu * map!.perCpu + map!.attr.value_size)))
      .join("|");
  };

  const open = (words: string[]): string => {
    const [type, key, value, entries, ...rest] = words;
    const option = (name: string): string | undefined =>
      rest.find((w) => w.startsWith(`${name}=`))?.slice(name.length + 1);
    const flags = rest[0] !== undefined && !/[=]|^as$/.test(rest[0]) ? rest[0] : undefined;
    const extra = option("extra");
    const inner = option("inner");
    const attr: MapCase["attr"] = {
      map_type: constant("BPF_MAP_TYPE_", type),
      key_size: Number(key),
      value_size: Number(value),
      max_entries: Number(entries),
      map_flags: flagsOf(["BPF_F_"], flags),
      ...(extra === undefined ? {} : { map_extra: BigInt(extra) }),
      ...(inner === undefined ? {} : { inner_map_fd: named.get(inner)?.fd ?? Number(inner) }),
    };
    const fd = commands.mapCreate(attr);
    if (fd < 0) return errno(fd);
    fds.push(fd);
    const perCpu = type.includes("PERCPU") ? Math.ceil(attr.value_size / 8) * 8 : 0;
    map = {
      fd,
      attr,
      keySize: attr.key_size,
      valueSize: perCpu === 0 ? attr.value_size : perCpu * commands.possibleCpus,
      perCpu,
    };
    const as = rest.indexOf("as");
    if (as >= 0) named.set(rest[as + 1], map);
    return "0";
  };

  const keys = (): string => {
    const found: Uint8Array[] = [];
    const next = new Uint8Array(map!.keySize);
    let err = commands.mapGetNextKey(map!.fd, null, next);
    while (err === 0 && found.length < 10_000) {
      found.push(next.slice());
      err = commands.mapGetNextKey(map!.fd, found.at(-1)!, next);
    }
    if (err !== -uapi.ENOENT) return errno(err);
    const texts = found.map(keyText);
    if (map!.attr.map_type !== uapi.BPF_MAP_TYPE_LPM_TRIE) texts.sort((a, b) => Number(a) - Number(b));
    return texts.join(" ");
  };

  const kernel = (): KernelCommands => {
    if (!("progLoad" in commands)) throw new Error(`${noted.name}: no kernel to run programs`);
    return commands;
  };

  /** A program's operation on the map that is in use. */
  const prog = (name: string, words: string[]): string => {
    const program = PROGRAMS[name];
    if (program === undefined) throw new Error(`${noted.name}: no program ${name}`);
    const [key = "-", value = "-", flags] = words;
    // What a program stores is one CPU's value, and a ring buffer takes any.
    const size = map!.perCpu !== 0 ? map!.attr.value_size : map!.valueSize || 8;
    const text = program({
      key: key === "-" ? new Uint8Array(map!.keySize) : keyOf(key)!,
      value: value === "-" ? new Uint8Array(size) : bytes(value, size),
      flags: flagsOf(["BPF_", "BPF_F_"], flags),
      valueSize: size,
    });
    const retval = runProgram(kernel(), text, map!.fd);
    if (retval === NULL) return "null";
    return retval >= 2 ** 32 - 4096 ? errno(retval - 2 ** 32) : String(retval);
  };

  const run = (verb: string, words: string[]): string => {
    const flags = (at: number): number => flagsOf(["BPF_", "BPF_F_"], words[at]);
    if (verb === "map") return open(words);
    if (verb === "use") {
      map = named.get(words[0])!;
      return "0";
    }
    if (map === undefined) throw new Error(`${noted.name}: no map to ${verb}`);
    const out = new Uint8Array(map.valueSize);
    switch (verb) {
      case "update":
        return errno(commands.mapUpdateElem(map.fd, keyOf(words[0]), valueBytes(words[1]), flags(2)));
      case "delete":
        return errno(commands.mapDeleteElem(map.fd, keyOf(words[0])));
      case "lookup": {
        const err = commands.mapLookupElem(map.fd, keyOf(words[0]), out, flags(1));
        return err === 0 ? valueText(out) : errno(err);
      }
      case "id": {
        const err = commands.mapLookupElem(map.fd, keyOf(words[0]), out);
        return err !== 0 ? errno(err) : number(out) === "0" ? "0" : "some";
      }
      case "pop": {
        const err = commands.mapLookupAndDeleteElem(map.fd, keyOf(words[0]), out, flags(1));
        return err === 0 ? valueText(out) : errno(err);
      }
      case "peek":
        return errno(commands.mapLookupElem(map.fd, null, valueBytes(words[0])));
      case "next": {
        const next = new Uint8Array(map.keySize);
        const err = commands.mapGetNextKey(map.fd, keyOf(words[0]), next);
        return err === 0 ? keyText(next) : errno(err);
      }
      case "keys":
        return keys();
      case "prog":
        return prog(words[0], words.slice(1));
      case "drain": {
        const records: string[] = [];
        kernel().ringbufConsume(map.fd, (data) => records.push(number(data)));
        return records.join(" ");
      }
      case "freeze":
        return errno(commands.mapFreeze(map.fd));
      default:
        throw new Error(`${noted.name}: no verb ${verb}`);
    }
  };

  try {
    return noted.lines.map((line) => {
      const [operation] =
        line.split("=").length > 2 ? [line.slice(0, line.lastIndexOf("="))] : line.split("=");
      const [verb, ...words] = operation.trim().split(/\s+/);
      return `${operation.trim()} = ${run(verb, words)}`;
    });
  } finally {
    for (const fd of fds) commands.close(fd);
  }
}

/** The lines of a case, spaced as runCase spaces them. */
export function expectedOf(noted: NotedCase): string[] {
  return noted.lines.map((line) => {
    const at = line.lastIndexOf("=");
    return `${line.slice(0, at).trim()} = ${line.slice(at + 1).trim()}`;
  });
}

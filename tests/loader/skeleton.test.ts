/** `tsbpf gen skeleton` over Linux 6.12's selftests: what it writes compiles, and does what the object does. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LoadError } from "../../src/diag/index.ts";
import { generateSkeleton } from "../../src/loader/index.ts";
import { CORPUS_NEEDS, selftests } from "../support/corpus.ts";
import { want } from "../support/need.ts";

const w = want(...CORPUS_NEEDS);
const root = fileURLToPath(new URL("../..", import.meta.url));
const dir = join(root, `.cache/skeletons-${process.pid}`);

/** Driven by skeleton/drive.ts.txt. */
const DRIVEN = [
  "bpf_dctcp",
  "for_each_array_map_elem",
  "for_each_hash_map_elem",
  "test_global_data",
  "test_l4lb",
  "test_mmap",
  "test_queue_map",
  "test_ringbuf_map_key",
  "test_ringbuf_multi",
  "test_skeleton",
  "test_xdp",
];
/** Of all objects: 300 by hand, `TSBPF_SKELETONS=300 npx vitest run tests/loader/skeleton.test.ts`. */
const COUNT = Number(process.env["TSBPF_SKELETONS"] ?? 60);

describe.skipIf(w.skip)(w.title("skeletons"), () => {
  let written = 0;

  beforeAll(async () => {
    const corpus = await selftests();
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true });
    const every = corpus.objects.length / COUNT;
    const chosen = Array.from({ length: COUNT }, (_, i) => corpus.objects[Math.floor(i * every)]!);
    const names = new Set([...DRIVEN, ...chosen.map((o) => o.replace(/\.bpf\.o$/, ""))]);
    for (const name of names) {
      try {
        const bytes = corpus.read(`${name}.bpf.o`);
        const text = generateSkeleton(bytes, { name, from: "../../src/index.ts" });
        writeFileSync(join(dir, `${name}.ts`), text);
        written++;
      } catch (error) {
        // What is to be linked first has variables of other objects, which no loader opens.
        if (!(error instanceof LoadError && /^extern /.test(error.message))) throw error;
      }
    }
    const drive = readFileSync(fileURLToPath(new URL("skeleton/drive.ts.txt", import.meta.url)), "utf8");
    writeFileSync(join(dir, "drive.ts"), drive.replace('"tsbpf"', '"../../src/index.ts"'));
    const options = { incremental: false, noEmit: true };
    writeFileSync(
      join(dir, "tsconfig.json"),
      JSON.stringify({ extends: "../../tsconfig.json", compilerOptions: options, include: ["*.ts"] }),
    );
  }, 600_000);

  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it("compile under tsc --strict, with the program that uses them", () => {
    expect(written).toBeGreaterThan(COUNT * 0.9);
    let output = "";
    try {
      execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", dir]);
    } catch (error) {
      output = String((error as { stdout: Uint8Array }).stdout);
    }
    expect(output.split("\n").slice(0, 20).join("\n")).toBe("");
  }, 600_000);

  it("drive the embedded kernel", async () => {
    const { drive } = (await import(pathToFileURL(join(dir, "drive.ts")).href)) as {
      drive: () => Record<string, unknown>;
    };
    expect(drive()).toMatchInlineSnapshot(`
      {
        "array": {
          "same": true,
        },
        "globalData": {
          "numbers": [
            0n,
            42n,
            24n,
            0n,
          ],
          "retval": 0,
          "structs": [
            {
              "a": 42,
              "b": 4278120431,
              "c": 1229782938247303441n,
            },
            {
              "a": 0,
              "b": 0,
              "c": 0n,
            },
            {
              "a": 0,
              "b": 0,
              "c": 0n,
            },
            {
              "a": 41,
              "b": 51966,
              "c": 48879n,
            },
          ],
          "text": "abcdefghijklmnopqrstuvwxyz",
        },
        "hash": {
          "elements": 3,
          "entries": [],
          "output": 4,
          "perCpu": 10n,
          "retval": 0,
        },
        "l4lb": {
          "dst": 16909060,
          "mac": [
            1,
            2,
            3,
          ],
          "vip": 2,
        },
        "mmap": {
          "doubled": 222n,
          "far": 369n,
          "out": 123n,
        },
        "queue": {
          "out": [
            0,
            0,
            0,
            0,
          ],
          "retval": 0,
        },
        "ringbufKey": {
          "key": {
            "pid": 1,
            "seq": 1,
          },
          "records": [
            {
              "seq": 1,
              "value": 42n,
            },
            {
              "seq": 2,
              "value": 42n,
            },
          ],
          "seq": 2n,
          "value": 1,
        },
        "ringbufs": {
          "sizes": [
            32,
            32,
          ],
          "skipped": 1n,
          "total": 2n,
        },
        "skeleton": {
          "dynamic": [
            1,
            2,
            3,
            4,
          ],
          "mostly": 0,
          "out": [
            10,
            11n,
            12,
            13n,
            14,
          ],
          "struct": {
            "a": 15,
            "b": 16n,
          },
          "syscall": true,
          "version": true,
        },
        "structOps": {
          "after": {
            "flags": 3,
            "init": undefined,
            "name": "other",
          },
          "before": {
            "flags": 2,
            "init": "bpf_dctcp_init",
            "name": "bpf_dctcp",
          },
        },
        "xdp": {
          "count": 1n,
          "dmac": [
            1,
            2,
            3,
            4,
            5,
            6,
          ],
          "grown": 20,
          "tx": true,
          "v4": 2,
        },
      }
    `);
  }, 120_000);
});

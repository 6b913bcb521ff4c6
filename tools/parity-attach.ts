/**
 * Selftest programs of many kinds, attached in a guest through our API: each has to fire and to be heard of by `for await`
 * over a ring buffer.
 *
 *   npm run parity -- attach [--kernel 6.12|6.1|IMAGE] [--only OBJECT]
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { selftests } from "../tests/support/corpus.ts";
import type { GuestRow } from "../tests/vm/attach-guest.ts";
import type { ParityReport } from "./parity.ts";
import { guestJson, runGuest } from "./vm-run.ts";

/** What attach-guest.ts opens. */
const OBJECTS = [
  ...["test_ringbuf", "test_ringbuf_n", "test_ringbuf_map_key", "ringbuf_bench", "test_ringbuf_multi"],
  ...["fentry_test", "fexit_test", "modify_return", "test_attach_probe"],
  ...["bpf_syscall_macro", "kprobe_multi", "test_overhead", "test_tracepoint", "lsm", "test_cgroup_link"],
  ...["connect_ping", "dev_cgroup", "sockopt_multi", "bpf_cubic", "bpf_dctcp"],
];

export async function parity(args: readonly string[]): Promise<ParityReport> {
  const at = args.indexOf("--kernel");
  const kernel = at >= 0 ? args[at + 1]! : "6.12";
  const one = args.indexOf("--only");
  const objects = one >= 0 ? [args[one + 1]!] : OBJECTS;
  const { dir } = await selftests(objects);
  const result = await runGuest({
    kernel,
    script: fileURLToPath(new URL("../tests/vm/attach-guest.ts", import.meta.url)),
    args: ["/app/objects", ...(one >= 0 ? objects : [])],
    files: Object.fromEntries(objects.map((name) => [`objects/${name}.bpf.o`, join(dir, `${name}.bpf.o`)])),
    timeoutMs: 1_500_000,
  });
  const rows = guestJson<GuestRow>(result);
  const good = rows.filter((row) => row.events > 0 && row.runs > 0);
  const notes = rows.map(
    (row) =>
      `${row.events > 0 && row.runs > 0 ? "ok  " : "FAIL"} ${row.kind}: ${row.obj} ${row.prog}: ${row.runs} runs, ${row.events > 0 ? "heard" : "not heard"}${row.own ? " from its own ring" : ""}${row.error === undefined ? "" : `: ${row.error}`}`,
  );
  if (result.status !== 0)
    notes.push(`the guest ended with ${result.status ?? "nothing"}`, result.console.slice(-1500));
  return {
    summary: `attach: ${good.length}/${rows.length} on ${kernel}`,
    notes,
    rows,
    ok: result.status === 0 && rows.length > 0 && good.length === rows.length,
  };
}

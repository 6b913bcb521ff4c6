/** Workers that may hang or die: a case that takes them down is answered by what happened, and the rest goes on. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Answer, Job } from "./worker.ts";

export interface PoolOptions {
  readonly args: readonly string[];
  readonly workers: number;
  /** A case's limit. */
  readonly seconds: number;
  readonly onAnswer?: (done: number) => void;
}

export async function runPool(jobs: readonly Job[], options: PoolOptions): Promise<Answer[]> {
  const answers: Answer[] = new Array(jobs.length);
  let next = 0;
  let done = 0;
  const broken = (error: string, ms: number): Answer => ({
    errno: 0,
    message: "",
    processed: 0,
    totalStates: 0,
    insn: -1,
    ms,
    error,
  });
  const lane = (): Promise<void> =>
    new Promise((resolve) => {
      const start = (): void => {
        if (next >= jobs.length) {
          resolve();
          return;
        }
        const child: ChildProcess = fork(
          fileURLToPath(new URL("worker.ts", import.meta.url)),
          options.args as string[],
          {
            execArgv: ["--import", "tsx", "--max-old-space-size=1400", "--stack-size=4000"],
            stdio: ["ignore", "ignore", "pipe", "ipc"],
          },
        );
        let stderr = "";
        child.stderr?.on("data", (chunk: Buffer) => {
          stderr = (stderr + chunk.toString()).slice(-2000);
        });
        let current = -1;
        let timer: NodeJS.Timeout | undefined;
        let why = "";
        const give = (): void => {
          if (next >= jobs.length) {
            current = -1;
            child.disconnect();
            return;
          }
          current = next++;
          // The first cases of a worker also pay for parsing BTF.
          timer = setTimeout(() => {
            why = `timeout after ${options.seconds} s`;
            child.kill("SIGKILL");
          }, options.seconds * 1000);
          child.send(jobs[current]!);
        };
        child.on("message", (message: Answer | "ready") => {
          if (message !== "ready") {
            clearTimeout(timer);
            answers[current] = message;
            options.onAnswer?.(++done);
          }
          give();
        });
        child.on("exit", (code, signal) => {
          clearTimeout(timer);
          if (current >= 0) {
            const oom = /heap out of memory/.test(stderr)
              ? "out of memory"
              : `worker ended: ${signal ?? code}`;
            answers[current] = broken(why || oom, options.seconds * 1000);
            options.onAnswer?.(++done);
            start();
          } else if (next < jobs.length) start();
          else resolve();
        });
      };
      start();
    });
  await Promise.all(Array.from({ length: options.workers }, lane));
  return answers;
}

import { execFileSync } from "node:child_process";

/** Keeps this process on the CPUs of a list such as `0` or `0-3`. */
export function pin(cpus: string): void {
  execFileSync("taskset", ["-cp", cpus, String(process.pid)], { stdio: "ignore" });
}

import { expect, test } from "vitest";
import { isFormatOk } from "./const-str.ts";

const CASES: readonly (readonly [format: string, args: number, ok: boolean])[] = [
  ["", 0, true],
  ["%d", 0, false],
  ["%d", 1, true],
  ["%%", 0, true],
  ["100%", 1, false],
  ["%l", 1, false],
  ["%lld %lu %llx %X", 4, true],
  ["%llld", 1, false],
  ["%+05d % d %-10s.", 3, true],
  ["%#x", 1, false],
  ["%1s", 1, true],
  ["%s%c", 2, true],
  ["%sleep", 1, false],
  ["%80d", 1, true],
  ["%p %px %pK %ps %pS %pB", 6, true],
  ["%p6", 1, false],
  ["%pks %pus", 2, true],
  ["%pksx", 1, false],
  ["%pi4 %pI6", 2, true],
  ["%pi5", 1, false],
  ["%f", 1, false],
  ["\x80", 0, false],
  ["\x1b[0m", 0, false],
  ["a\tb\n", 0, true],
];

test.each(CASES)("%j with %d values: %s", (format, args, ok) => {
  expect(isFormatOk(format, args)).toBe(ok);
});

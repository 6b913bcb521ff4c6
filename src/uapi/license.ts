// Which licenses may use GPL-only helpers (include/linux/license.h).
const compatible: ReadonlySet<string> = new Set([
  "GPL",
  "GPL v2",
  "GPL and additional rights",
  "Dual BSD/GPL",
  "Dual MIT/GPL",
  "Dual MPL/GPL",
]);

/** The kernel compares the first 127 bytes of the license string. */
export function isGplCompatible(license: string): boolean {
  return compatible.has(license.slice(0, 127));
}

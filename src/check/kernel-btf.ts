/**
 * The BTF of the kernels that have a profile. It ships with the package as data/kernels/VERSION.btf.gz and is read when
 * asked for: with fetch() in a browser, from the file under Node (platform/node.ts).
 */
import { type Btf, parseBtf } from "../btf/index.ts";

/** Where the packed BTF of a profile's kernel lies beside this module. */
export function kernelBtfUrl(version: string): URL {
  return new URL(`../../data/kernels/${version}.btf.gz`, import.meta.url);
}

/** Unpacks and parses what such a file holds. */
export async function unpackKernelBtf(packed: Uint8Array | ReadableStream<Uint8Array>): Promise<Btf> {
  const stream = packed instanceof Uint8Array ? new Blob([packed.slice()]).stream() : packed;
  const bytes = await new Response(
    stream.pipeThrough(new DecompressionStream("gzip") as ReadableWritablePair<Uint8Array, Uint8Array>),
  ).arrayBuffer();
  return parseBtf(new Uint8Array(bytes));
}

/** In a browser: fetches, unpacks and parses. `url`: where the application serves the file, if not beside the module. */
export async function fetchKernelBtf(
  version: string,
  url: string | URL = kernelBtfUrl(version),
): Promise<Btf> {
  const response = await fetch(url);
  if (!response.ok || response.body === null)
    throw new Error(`cannot fetch the BTF of Linux ${version}: ${response.status} ${response.statusText}`);
  return unpackKernelBtf(response.body);
}

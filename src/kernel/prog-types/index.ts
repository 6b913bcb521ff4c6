import type { ProgramType } from "../program-type.ts";
import { SKB_TYPES } from "./skb.ts";
import { SOCKET_TYPES } from "./sockets.ts";
import { TRACING_TYPES } from "./tracing.ts";
import { XDP_TYPE } from "./xdp.ts";

/** The program types of the reference kernel. */
export const PROGRAM_TYPES: readonly ProgramType[] = [
  ...SKB_TYPES,
  XDP_TYPE,
  ...TRACING_TYPES,
  ...SOCKET_TYPES,
];

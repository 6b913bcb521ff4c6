export { generateSkeleton, type SkeletonOptions } from "./generate.ts";
export {
  type CharArray,
  fromBase64,
  type Input,
  type Records,
  Skeleton,
  SkeletonMap,
  SkeletonProgram,
  type SkeletonShape,
} from "./runtime.ts";

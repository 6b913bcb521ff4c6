export {
  type Features,
  hasHelper,
  hasMapType,
  hasProgType,
  probeFeatures,
  readSystemConfig,
  type SystemConfig,
} from "./features.ts";
export { LinuxBackend } from "./linux-backend.ts";
export { explainErrno, type Rights, readRights } from "./rights.ts";

export { LinuxBackend } from "./linux-backend.ts";

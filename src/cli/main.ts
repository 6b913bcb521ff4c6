#!/usr/bin/env node
process.stderr.write("tsbpf: no commands yet\n");
process.exitCode = 2;

#include "bench.h"
PROGRAM(p) { return 2; }

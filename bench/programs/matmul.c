/* Product of two 20 by 20 matrices of 64-bit numbers. */
#include "bench.h"
#define N 20
u64 left[N][N], right[N][N], product[N][N];

PROGRAM(p) {
  u64 trace = 0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      left[i][j] = p[i * N + j];
      right[j][i] = p[i + j * N] + 3;
    }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      u64 sum = 0;
      for (int k = 0; k < N; k++) sum += left[i][k] * right[k][j];
      product[i][j] = sum;
    }
  for (int i = 0; i < N; i++) trace = trace * 31 + product[i][N - 1 - i];
  return trace ^ (trace >> 32);
}

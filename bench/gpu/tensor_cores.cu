// What the tensor cores of this GPU can do at best through mma.sync, from registers alone.

#include "primitives.cuh"

#if __CUDA_ARCH__ >= 800 || defined(CUDA_ON_CPU)

// Eight products of each warp, A B of its own A (16, 8) and B (8, 8), are added up rounds times; y is
// the sum of all eight, (warps, 32, 4), as the tensor core spreads it over the lanes.
// x is (warps, 32, 6): what each lane has of A and B.
__global__ void __launch_bounds__(256) ceiling_mma(const float *x, int rounds, float *y) {
  const int thread = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned a[4], b[2];
  for (int i = 0; i < 4; i++) a[i] = to_tf32(x[6 * thread + i]);
  for (int i = 0; i < 2; i++) b[i] = to_tf32(x[6 * thread + 4 + i]);
  float sums[8][4] = {};
  for (int round = 0; round < rounds; round++)
#pragma unroll
    for (int i = 0; i < 8; i++) mma_tf32(sums[i], a, b);
  for (int j = 0; j < 4; j++) {
    float sum = 0;
    for (int i = 0; i < 8; i++) sum += sums[i][j];
    y[4 * thread + j] = sum;
  }
}

#endif

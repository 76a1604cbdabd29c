// What the L2 cache of this GPU can do at best for copies to shared memory, as tiles are fetched.

#include "primitives.cuh"

#if __CUDA_ARCH__ >= 800 || defined(CUDA_ON_CPU)

// Each thread fetches a group of four of x, which has n, again and again from where the grid's last
// round ended, rounds times; y[thread] is the first number of the last one. Three fetches of a thread
// are under way. They go past L1.
__global__ void __launch_bounds__(256) ceiling_l2(const float4 *x, int n, int rounds, float *y) {
  float4 *staged = dynamic_shared<float4>();  // 4 slots of 256
  const int threads = gridDim.x * blockDim.x, thread = blockIdx.x * blockDim.x + threadIdx.x;
  const int step = threads % n;
  int from = thread % n, slot = threadIdx.x;
  for (int round = 0; round < rounds; round++) {
    slot = round % 4 * 256 + threadIdx.x;
    cp_async16(&staged[slot], &x[from], true);
    cp_async_commit();
    cp_async_wait<3>();
    from += step;
    if (from >= n) from -= n;
  }
  cp_async_wait<0>();
  y[thread] = staged[slot].x;
}

#endif
